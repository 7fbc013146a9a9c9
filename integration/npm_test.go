package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// minNode is the oldest major version of Node.js that the packages of testdata/npm run
// with.
const minNode = 20

// npmDir returns a directory with copies of the scripts of testdata/npm, and the packages
// that they need. It skips the test if Node.js or npm is not installed.
func npmDir(t *testing.T) string {
	t.Helper()
	version, err := exec.Command("node", "--version").Output()
	if err != nil {
		t.Skip("there is no node in the PATH")
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < minNode {
		t.Skipf("node has version %s; the packages need %d", bytes.TrimSpace(version), minNode)
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("there is no npm in the PATH")
	}
	installed, err := installPackages()
	require.NoError(t, err)
	dir := t.TempDir()
	scripts, err := filepath.Glob("testdata/npm/*.mjs")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(script)), text, 0o600))
	}
	require.NoError(t, os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(dir, "node_modules")))
	return dir
}

// installPackages installs the packages that testdata/npm/package.json names, with their
// exact versions. It returns the directory, which is in the user's cache and is used again
// by the next run.
var installPackages = sync.OnceValues(func() (dir string, err error) {
	list, err := os.ReadFile("testdata/npm/package.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	hash := sha256.Sum256(list)
	dir = filepath.Join(cache, "jwtgate-integration", hex.EncodeToString(hash[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	// Another process may do the same, so the directory gets its name when it is complete.
	work, err := os.MkdirTemp(filepath.Dir(dir), "install-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "package.json"), list, 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*hangGuard)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
	install.Dir = work
	if out, err := install.CombinedOutput(); err != nil {
		return "", &installError{err, string(out)}
	}
	if err := os.Rename(work, dir); err != nil {
		if _, found := os.Stat(dir); found != nil {
			return "", err
		}
	}
	return dir, nil
})

type installError struct {
	err    error
	output string
}

func (e *installError) Error() string { return "npm install: " + e.err.Error() + "\n" + e.output }

// node runs a script and stores its output, which is JSON, in result. The script gets
// argument as JSON.
func node(t *testing.T, dir, script string, argument, result any) {
	t.Helper()
	text, err := json.Marshal(argument)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*hangGuard)
	defer cancel()
	command := exec.CommandContext(ctx, "node", script, string(text))
	command.Dir = dir
	var errors bytes.Buffer
	command.Stderr = &errors
	out, err := command.Output()
	require.NoError(t, err, "%s\n%s", out, &errors)
	require.NoError(t, json.Unmarshal(out, result), "%s", out)
}

// startNodeProvider starts the authorization server of testdata/npm and returns its issuer.
func startNodeProvider(t *testing.T, dir string) (issuer string) {
	t.Helper()
	command := exec.Command("node", "provider.mjs")
	command.Dir = dir
	return strings.TrimSpace(startProgram(t, command, "http://"))
}

// startProgram starts a program that runs until the test ends. It returns the first line of
// its output that contains text.
func startProgram(t *testing.T, command *exec.Cmd, text string) string {
	t.Helper()
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	var errors bytes.Buffer
	command.Stderr = &errors
	require.NoError(t, command.Start())
	stop := sync.OnceFunc(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	t.Cleanup(stop)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return lines.Text()
		}
	}
	stop()
	require.Fail(t, "the program has ended", "%s", &errors)
	return ""
}
