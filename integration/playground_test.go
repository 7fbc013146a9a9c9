package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write a new screenshot of examples/playground")

// TestPlayground uses the page of examples/playground in a browser. It builds the
// program, but go test does not see changes of the program's sources. Run it with
// -count=1 after a change:
//
//	go -C integration test -count=1 -run Playground .
//
// With -update, TestPlaygroundScreenshot also writes a new screenshot.
func TestPlayground(t *testing.T) {
	t.Parallel()
	b := startBrowser(t, startPlayground(t))

	driven := map[string]bool{} // presets
	t.Run("presets", func(t *testing.T) {
		b.open(t)
		assert.Equal(t, outcome{"200 OK: every step passed", "handler", "passed", "passed"}, b.outcome(t), "the first preset")
		for _, test := range []struct{ preset, summary, step, state string }{
			{"expired", "401 Unauthorized: refused at Times", "times", "refused"},
			{"audience", "401 Unauthorized: refused at Audience", "audience", "refused"},
			{"none", "401 Unauthorized: refused at Form", "form", "refused"},
			{"confusion", "401 Unauthorized: refused at Keys", "keys", "refused"},
			{"duplicate", "401 Unauthorized: refused at Issuer", "issuer", "refused"},
			{"crit", "401 Unauthorized: refused at Header", "header", "refused"},
			{"no-exp", "401 Unauthorized: refused at Times", "times", "refused"},
			{"kid", "401 Unauthorized: refused at Keys", "keys", "refused"},
			{"tampered", "401 Unauthorized: refused at Signature", "signature", "refused"},
			{"loose", "401 Unauthorized: refused at Form", "form", "refused"},
			{"two", "400 Bad Request: refused at Extract", "extract", "refused"},
			{"missing", "401 Unauthorized: refused at Extract", "extract", "refused"},
			{"scope", "403 Forbidden: refused at Require", "require", "refused"},
			{"outage", "503 Service Unavailable: cannot tell at Validate", "validate", "cannot tell"},
			{"good", "200 OK: every step passed", "handler", "passed"},
		} {
			b.click(t, test.preset)
			assert.Equal(t, outcome{test.summary, test.step, test.state, test.state}, b.outcome(t), test.preset)
			status, _, _ := strings.Cut(test.summary, ":")
			assert.Contains(t, b.text(t, "#answer"), "HTTP/1.1 "+status+"\r\n", test.preset)
			assert.Equal(t, test.preset, eval[string](t, b, `document.querySelector("[aria-pressed=true]").dataset.preset`))
			b.testRow(t, test.preset)
			driven[test.preset] = true
		}
	})

	// The page signs the proofs.
	t.Run("proofs", func(t *testing.T) {
		b.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(recordsKeys).Do(ctx)
			return err
		}))
		b.open(t)
		for _, test := range []struct{ preset, summary, step, challenge, reason, why string }{
			{"bound", "200 OK: every step passed", "handler", "", "", ""},
			{"query", "200 OK: every step passed", "handler", "", "", ""},
			{"no-proof", "401 Unauthorized: refused at Confirm", "confirm", "invalid_dpop_proof", "proof", "the request has no header DPoP"},
			{"bearer", "401 Unauthorized: refused at Extract", "extract", "invalid_token", "claim", "the token came under the scheme Bearer"},
			{"replay", "401 Unauthorized: refused at Confirm", "confirm", "invalid_dpop_proof", "proof", "has been used before"},
			{"method", "401 Unauthorized: refused at Confirm", "confirm", "invalid_dpop_proof", "proof", `htm is "POST"`},
			{"url", "401 Unauthorized: refused at Confirm", "confirm", "invalid_dpop_proof", "proof", `htu is "https://billing.example.com/orders"`},
			{"other-token", "401 Unauthorized: refused at Confirm", "confirm", "invalid_dpop_proof", "proof", "ath is "},
			{"other-key", "401 Unauthorized: refused at Confirm", "confirm", "invalid_token", "claim", "the token is bound to"},
			{"old", "401 Unauthorized: refused at Confirm", "confirm", "invalid_dpop_proof", "proof", "iat was 10m"},
			// The page has no nonce yet: it gets one from the first answer, and tries again.
			{"nonce", "200 OK: every step passed", "handler", "", "", ""},
			{"no-nonce", "401 Unauthorized: refused at Confirm", "confirm", "use_dpop_nonce", "proof", "the proof has no nonce"},
			{"old-nonce", "401 Unauthorized: refused at Confirm", "confirm", "use_dpop_nonce", "proof", "nonce "},
			{"nonce", "200 OK: every step passed", "handler", "", "", ""},
			{"good", "200 OK: every step passed", "handler", "", "", ""},
		} {
			b.click(t, test.preset)
			got := b.outcome(t)
			assert.Equal(t, []string{test.summary, test.step}, []string{got.Summary, got.Step}, test.preset)
			b.testRow(t, test.preset)
			driven[test.preset] = true
			answer, logged := b.text(t, "#answer"), b.text(t, "#log")
			assert.Equal(t, test.preset != "no-proof" && test.preset != "bearer" && test.preset != "good",
				strings.HasPrefix(eval[string](t, b, `document.querySelector("#proof").value`), "ew"), test.preset)
			assert.Equal(t, test.challenge == "use_dpop_nonce", strings.Contains(answer, "\r\nDpop-Nonce: "), test.preset)
			if test.challenge == "" {
				assert.Contains(t, logged, `msg="jwtgate: allow"`, test.preset)
				continue
			}
			assert.Contains(t, answer, "\r\nWww-Authenticate: DPoP realm=\"api\", error=\""+test.challenge+`"`, test.preset)
			assert.Contains(t, b.text(t, "#why"), test.why, test.preset)
			assert.Contains(t, b.text(t, "#labels"), "Reason: "+test.reason, test.preset)
			assert.Contains(t, logged, "status=401 reason="+test.reason, test.preset)
		}
		for _, preset := range eval[[]string](t, b, `[...document.querySelectorAll("[data-preset]")].map((e) => e.dataset.preset)`) {
			assert.True(t, driven[preset], "no test uses the preset %s", preset)
		}
		// The page has two keys.
		assert.Equal(t, []bool{false, false}, eval[[]bool](t, b, "madeKeys"), "extractable")

		// A user who switches Confirm on gets the lines of the request, and the proof.
		b.tabTo(t, "#confirm")
		b.press(t, "d")
		assert.Equal(t, outcome{"401 Unauthorized: refused at Subject", "subject", "refused", "refused"}, b.outcome(t), "the token is not bound")
		assert.Contains(t, eval[string](t, b, `document.querySelector("#request").value`), "Authorization: DPoP {token}\nDPoP: {proof}")
		assert.Contains(t, b.text(t, "#code"), "&dpop.Verifier{")
		b.tabTo(t, "[name=allowUnbound]")
		b.press(t, " ")
		b.tabTo(t, "#request")
		b.press(t, "a", input.ModifierCtrl)
		b.press(t, "GET / HTTP/1.1\nHost: a\nAuthorization: Bearer {token}")
		assert.Equal(t, outcome{"200 OK: every step passed", "handler", "passed", "passed"}, b.outcome(t))
		b.tabBackTo(t, "#confirm")
		b.press(t, "n")
		assert.Equal(t, "handler", b.outcome(t).Step)
		assert.False(t, eval[bool](t, b, `document.querySelector("#proof").checkVisibility()`))
		assert.NotContains(t, b.text(t, "#code"), "dpop")
	})

	// The sentence about a preset does not stay beside the verdict on something else.
	t.Run("edited preset", func(t *testing.T) {
		b.open(t)
		assert.Equal(t, "The gate accepts it.", b.text(t, "#preset-about"))
		b.click(t, "expired")
		b.outcome(t)
		assert.Equal(t, "exp is an hour ago.", b.text(t, "#preset-about"))
		b.tabTo(t, "#clock")
		b.press(t, "-90m")
		assert.Equal(t, "handler", b.outcome(t).Step)
		assert.Empty(t, b.text(t, "#preset-about"))
		b.click(t, "expired")
		b.outcome(t)
		assert.Equal(t, "exp is an hour ago.", b.text(t, "#preset-about"))

		// Check fills in the preset again: "The gate accepts it." would be wrong once the
		// token has expired.
		b.open(t)
		b.run(t, chromedp.Evaluate(`globalThis.fetch = new Proxy(fetch, { apply(target, page, [path, ...options]) {
			document.title += " " + path;
			return Reflect.apply(target, page, [path, ...options]);
		} })`, nil))
		b.tabTo(t, "[type=submit]")
		b.press(t, kb.Enter)
		b.outcome(t)
		assert.Equal(t, "jwtgate playground presets api", eval[string](t, b, "document.title"))
	})

	t.Run("copied", func(t *testing.T) {
		b.open(t)
		b.tabTo(t, "#copy")
		b.press(t, kb.Enter)
		require.Eventually(t, func() bool { return b.text(t, "#copy") != "Copy" }, hangGuard, 20*time.Millisecond)
		b.click(t, "expired")
		b.outcome(t)
		assert.Equal(t, "Copy", b.text(t, "#copy"), "the code is new")
	})

	// An edit that comes before the answer to a click on a preset wins.
	t.Run("edit during a preset", func(t *testing.T) {
		b.open(t)
		b.run(t, chromedp.Evaluate(`{
			document.querySelector("[data-preset=expired]").click();
			const realm = document.querySelector("#realm");
			realm.value = "edited";
			realm.dispatchEvent(new Event("input", { bubbles: true }));
		}`, nil))
		assert.Equal(t, "handler", b.outcome(t).Step)
		assert.Contains(t, b.text(t, "#code"), `Realm:     "edited"`)
		assert.Empty(t, b.text(t, "#preset-about"))
	})

	t.Run("keyboard alone", func(t *testing.T) {
		b.open(t)
		b.tabTo(t, `[data-preset="audience"]`)
		b.press(t, kb.Enter)
		assert.Equal(t, "audience", b.outcome(t).Step)

		b.tabTo(t, "#claims")
		b.press(t, "a", input.ModifierCtrl)
		b.press(t, `{"iss": "https://auth.example.com/", "aud": "https://api.example.com", "sub": "bob", "exp": 1}`)
		assert.Equal(t, outcome{"401 Unauthorized: refused at Times", "times", "refused", "refused"}, b.outcome(t))
		assert.Contains(t, b.text(t, "#why"), "exp is 1, which looks like a duration")
		assert.Zero(t, eval[int](t, b, `document.querySelectorAll("[aria-pressed=true]").length`), "no preset is selected after an edit")

		b.tabTo(t, "[name=allowNoExpiry]")
		b.press(t, " ")
		b.tabBackTo(t, "#claims")
		b.press(t, "a", input.ModifierCtrl)
		b.press(t, `{"iss": "https://auth.example.com/", "aud": "https://api.example.com", "sub": "bob"}`)
		assert.Equal(t, outcome{"200 OK: every step passed", "handler", "passed", "passed"}, b.outcome(t))
		assert.Contains(t, b.text(t, "#answer"), "hello bob")
		assert.Contains(t, b.text(t, "#code"), "AllowNoExpiry: true,")

		b.tabTo(t, "[type=submit]")
		asked := b.asked()
		b.press(t, kb.Enter)
		b.outcome(t)
		assert.Equal(t, asked+1, b.asked())

		b.tabTo(t, "#extract")
		b.press(t, "c")
		assert.Equal(t, "handler", b.outcome(t).Step)
		assert.Contains(t, eval[string](t, b, `document.querySelector("#request").value`), "Cookie: __Host-session={token}")
		assert.Contains(t, b.text(t, "#code"), `jwtgate.Cookie("__Host-session")`)

		b.tabBackTo(t, "#key")
		b.press(t, "r")
		assert.Equal(t, "handler", b.outcome(t).Step)
		assert.JSONEq(t, `{"alg": "RS256", "kid": "rs-1", "typ": "JWT"}`, eval[string](t, b, `document.querySelector("#header").value`))
	})

	t.Run("pasted", func(t *testing.T) {
		b.open(t)
		b.tabTo(t, "#token")
		b.press(t, kb.End, input.ModifierCtrl)
		b.press(t, "AA")
		assert.Equal(t, outcome{"401 Unauthorized: refused at Signature", "signature", "refused", "refused"}, b.outcome(t))
		assert.Equal(t, "paste", eval[string](t, b, `document.querySelector("[name=mode]:checked").value`))
		assert.False(t, eval[bool](t, b, `document.querySelector("#key").checkVisibility()`))

		b.press(t, "a", input.ModifierCtrl)
		b.press(t, "e30.eyJzdWIiOiJldmUifQ.AA")
		assert.Equal(t, "header", b.outcome(t).Step)
		assert.Equal(t, `{"sub":"eve"}`, eval[string](t, b, `document.querySelector("#claims").value`))

		// Users also copy the scheme or the whole line.
		for _, scheme := range []string{"Bearer ", "bearer\n", "Authorization: Bearer ", "authorization:dpop  "} {
			b.press(t, "a", input.ModifierCtrl)
			b.run(t, input.InsertText(scheme+"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJldmUifQ.AA"))
			assert.Equal(t, "issuer", b.outcome(t).Step, scheme)
			assert.Equal(t, []string{`{"alg":"ES256"}`, `{"sub":"eve"}`, "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJldmUifQ.AA"},
				eval[[]string](t, b, `["header", "claims", "token"].map((id) => document.getElementById(id).value)`), scheme)
		}
		b.press(t, "a", input.ModifierCtrl)
		b.press(t, "Bearer of news")
		b.outcome(t)
		assert.Equal(t, []string{"", ""}, eval[[]string](t, b, `["header", "claims"].map((id) => document.getElementById(id).value)`), "no text")
		b.press(t, "a", input.ModifierCtrl)
		b.press(t, "e30.eyJzdWIiOiJldmUifQ.AA")
		b.outcome(t)

		b.tabBackTo(t, "#header")
		b.press(t, kb.End, input.ModifierCtrl)
		b.press(t, " ")
		b.outcome(t)
		assert.Equal(t, "mint", eval[string](t, b, `document.querySelector("[name=mode]:checked").value`))
		assert.True(t, strings.HasPrefix(eval[string](t, b, `document.querySelector("#token").value`), "e30g."), "the page signs the token again")
	})

	// The box of a token shows all of it, in three colours.
	t.Run("parts", func(t *testing.T) {
		b.open(t)
		for _, width := range []int64{320, 768, 1280} {
			b.run(t, chromedp.EmulateViewport(width, 800))
			b.click(t, "bound")
			b.outcome(t)
			for _, id := range []string{"token", "proof"} {
				b.testParts(t, id)
			}
		}
		b.tabTo(t, "#token")
		for _, text := range []string{"", "a", "a.b", "..", "a.b.c.d.e", "a.b.c\n", "\n\n", " a\n.b", "é.<b>.c", strings.Repeat("a.", 30)} {
			b.press(t, "a", input.ModifierCtrl)
			b.press(t, kb.Backspace)
			b.run(t, input.InsertText(text))
			b.testParts(t, "token")
			b.outcome(t)
		}
		b.press(t, "a", input.ModifierCtrl)
		b.run(t, input.InsertText("a."+strings.Repeat("b", 9000)+".c"))
		b.outcome(t)
		assert.Less(t, eval[int](t, b, `document.querySelector(".coloured").offsetHeight`), 500, "a long token scrolls")
		b.testParts(t, "token")
	})

	// Nothing lies over the form but the first line of the verdict on a narrow screen, and
	// not over a control with the focus, or over its label.
	t.Run("uncovered", func(t *testing.T) {
		for _, width := range []int64{360, 768, 1280} {
			b.run(t, chromedp.EmulateViewport(width, 700))
			b.open(t)
			b.click(t, "other-key")
			b.outcome(t)
			b.run(t, chromedp.Evaluate("document.querySelectorAll('details').forEach((group) => group.open = true)", nil))
			assert.Less(t, eval[int](t, b, `document.querySelector("#head").offsetHeight`), 80)
			assert.Empty(t, eval[[]string](t, b, `controls().concat(...document.querySelectorAll("h2:not(.unseen)")).reverse().filter((e) => {
				e.focus();
				e.scrollIntoView({ block: "nearest" });
				return [e, ...e.labels ?? []].some(isCovered);
			}).map(nameOf)`), width)
			b.run(t, chromedp.Evaluate(`document.querySelector("#copy").scrollIntoView({ block: "end" });
				scrollTo(0, document.documentElement.scrollHeight)`, nil))
			if width == 1280 {
				assert.Empty(t, eval[[]string](t, b, `[...document.querySelectorAll("label, summary, button, #steps li, #summary")].filter((e) => {
					const { top, bottom } = e.getBoundingClientRect();
					const rest = e.closest(".rest")?.getBoundingClientRect() ?? { top: 0, bottom: innerHeight };
					return e.checkVisibility() && top >= rest.top && bottom <= rest.bottom && isCovered(e);
				}).map(nameOf)`), "at the end")
				assert.True(t, eval[bool](t, b, `document.querySelector("#head").getBoundingClientRect().top >= 0`), "the verdict stays in the window")
			}
		}
		b.run(t, chromedp.EmulateViewport(1280, 900))
	})

	// On a phone only those groups of options are open in which the preset has its fault.
	t.Run("folded", func(t *testing.T) {
		b.run(t, chromedp.EmulateViewport(360, 700))
		b.open(t)
		const open = `[...document.querySelectorAll("details[open] > summary")].map((e) => e.id)`
		for _, test := range []struct {
			preset string
			open   []string
			height int
		}{
			{"good", []string{}, 3600},
			{"scope", []string{"requires"}, 4300},
			{"two", []string{"message"}, 4000},
			{"bound", []string{}, 3900},
			{"url", []string{"binding"}, 5300},
			{"audience", []string{}, 3700},
		} {
			b.click(t, test.preset)
			b.outcome(t)
			assert.Equal(t, test.open, eval[[]string](t, b, open), test.preset)
			assert.Less(t, eval[int](t, b, "document.documentElement.scrollHeight"), test.height, test.preset)
		}
		b.tabTo(t, "#checks")
		b.press(t, kb.Enter)
		b.tabTo(t, "#clock")
		b.press(t, "1s")
		b.outcome(t)
		assert.Equal(t, []string{"checks"}, eval[[]string](t, b, open), "an edit folds nothing")

		b.run(t, chromedp.EmulateViewport(1280, 900))
		b.open(t)
		assert.Equal(t, []string{"trust", "checks", "requires", "binding", "message"}, eval[[]string](t, b, open))
		b.tabTo(t, "#requires")
		b.press(t, kb.Enter)
		b.click(t, "expired")
		b.outcome(t)
		assert.Equal(t, []string{"trust", "checks", "binding", "message"}, eval[[]string](t, b, open), "what the user closes stays closed")
		b.click(t, "scope")
		b.outcome(t)
		assert.Equal(t, []string{"trust", "checks", "requires", "binding", "message"}, eval[[]string](t, b, open))
	})

	t.Run("words", func(t *testing.T) {
		for selector, want := range map[string]string{
			"label[for=issuers]": "Issuers one per line", "label[for=audiences]": "Audiences one per line", "label[for=urls]": "URLs of the service one per line",
			"label[for=ruleValues]": "Rules: values one per line", "label[for=roleValues]": "Require: values one per line",
			"label[for=clock]": "Clock offset", "#answer-title": "What the client is told",
		} {
			assert.Equal(t, want, b.text(t, selector))
		}
	})

	t.Run("problems", func(t *testing.T) {
		b.open(t)
		b.tabTo(t, "#audiences")
		b.press(t, "a", input.ModifierCtrl)
		b.press(t, kb.Backspace)
		assert.Equal(t, outcome{"No gate was made of these options", "", "", "refused"}, b.outcome(t))
		assert.Equal(t, "Options.Audiences: no audience is accepted; list the aud values that name this service, or set AnyAudience if the tokens have no aud",
			b.text(t, "#problems li"))
		assert.Equal(t, "nothing: there is no outcome", b.text(t, "#answer"))

		b.tabTo(t, "#realm")
		b.run(t, input.InsertText(strings.Repeat("x", 300<<10)))
		assert.Equal(t, "No outcome from the playground", b.outcome(t).Summary)
		assert.Contains(t, b.text(t, "#problems li"), "413: the body has more than")
		b.forgive(t, "413")
	})

	t.Run("text stays text", func(t *testing.T) {
		b.open(t)
		b.tabTo(t, "#claims")
		b.press(t, "a", input.ModifierCtrl)
		const hostile = `<img src=x onerror=document.title=1><script>document.title=1</script>`
		b.press(t, `{"iss": "https://auth.example.com/", "aud": "`+hostile+`", "sub": "a", "exp": 99999999999}`)
		assert.Equal(t, "audience", b.outcome(t).Step)
		assert.Contains(t, b.text(t, "#why"), hostile)
		assert.Zero(t, eval[int](t, b, `document.querySelectorAll("img, body script").length`))
		assert.Equal(t, "jwtgate playground", eval[string](t, b, "document.title"))
	})

	t.Run("announced", func(t *testing.T) {
		b.open(t)
		b.click(t, "expired")
		b.outcome(t)
		assert.Equal(t, "false", eval[string](t, b, `document.querySelector("[role=status]").closest("[aria-busy]").ariaBusy`))
		said := b.text(t, "[role=status]")
		assert.Contains(t, said, "401 Unauthorized: refused at Times")
		assert.Contains(t, said, "jwtgate.ErrExpired")
	})

	t.Run("names and focus", func(t *testing.T) {
		b.run(t, chromedp.EmulateViewport(360, 700))
		b.open(t)
		b.click(t, "confusion")
		b.outcome(t)
		b.testControls(t)
		b.run(t, chromedp.EmulateViewport(1280, 900))
		b.open(t)
		// Also with the controls that are hidden at first.
		b.tabTo(t, "#source")
		b.press(t, "a PEM")
		b.tabTo(t, "#extract")
		b.press(t, "h")
		b.outcome(t)
		assert.True(t, eval[bool](t, b, `document.querySelector("#material").checkVisibility() && document.querySelector("#extractName").checkVisibility()`))
		b.testControls(t)
		b.click(t, "nonce")
		b.outcome(t)
		assert.True(t, eval[bool](t, b, `document.querySelector("#proofClaims").checkVisibility()`))
		b.testControls(t)
	})

	for _, width := range []int64{320, 360, 768, 1280} {
		t.Run(fmt.Sprintf("%d px", width), func(t *testing.T) {
			b.run(t, chromedp.EmulateViewport(width, 800))
			b.open(t)
			for _, preset := range []string{"good", "confusion", "audience", "bound", "url", "no-nonce"} {
				b.click(t, preset)
				b.outcome(t)
				assert.Empty(t, eval[[]string](t, b, overflowing), preset)
			}
			if width < 1000 {
				b.tabTo(t, "#checks")
				b.press(t, kb.Enter)
			}
			b.tabTo(t, "#algorithms")
			b.press(t, "none")
			b.outcome(t)
			assert.Empty(t, eval[[]string](t, b, overflowing), "problems")
		})
	}
	b.run(t, chromedp.EmulateViewport(1280, 900))

	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			b.run(t, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}))
			b.open(t)
			dark := eval[float64](t, b, `luminance(colour(getComputedStyle(document.body).backgroundColor))`) < 0.5
			assert.Equal(t, scheme == "dark", dark)
			seen := map[string]bool{}
			for _, preset := range []string{"good", "expired", "outage", "scope", "bound", "no-nonce"} {
				b.click(t, preset)
				b.outcome(t)
				assert.Empty(t, eval[[]string](t, b, "faint()"), preset)
				for _, state := range eval[[]string](t, b, `[...document.querySelectorAll("#steps li")].map((item) => {
					const icon = item.querySelector("use").getAttribute("href").slice(1).replace("-", " ");
					const word = item.querySelector(".state").textContent;
					return icon === word && word === item.dataset.state ? word : "icon " + icon + ", word " + word;
				})`) {
					seen[state] = true
				}
			}
			assert.Equal(t, map[string]bool{"passed": true, "refused": true, "cannot tell": true, "not set": true, "not reached": true}, seen,
				"each state has an icon and a word")
			b.tabTo(t, "#algorithms")
			b.press(t, "none")
			b.outcome(t)
			assert.Empty(t, eval[[]string](t, b, "faint()"), "problems")
			assert.Empty(t, eval[[]string](t, b, `[...document.querySelectorAll("*")].filter((e) => {
				const style = getComputedStyle(e);
				return style.transitionDuration !== "0s" || style.animationName !== "none";
			}).map((e) => e.tagName)`), "elements that move")
		})
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Empty(t, b.complaints, "messages of the console")
	assert.NotEmpty(t, b.requests)
	for _, url := range b.requests {
		assert.True(t, strings.HasPrefix(url, b.page), url)
		assert.NotContains(t, url, "?", "servers log queries, which could contain the token")
	}
}

// TestPlaygroundScreenshot writes the picture in the README.
func TestPlaygroundScreenshot(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	b := startBrowser(t, startPlayground(t))
	b.run(t, chromedp.EmulateViewport(1280, 1130),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}}))
	b.open(t)
	b.click(t, "audience")
	b.outcome(t)
	var shot []byte
	b.run(t, chromedp.CaptureScreenshot(&shot))
	picture, err := png.Decode(bytes.NewReader(shot))
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&file, paletted(picture)))
	require.Less(t, file.Len(), 200<<10)
	require.NoError(t, os.WriteFile("../examples/playground/screenshot.png", file.Bytes(), 0o644))
}

// paletted returns a picture with at most 256 colours, which makes a much smaller file.
// It keeps the most frequent colours, and of similar ones only the most frequent.
func paletted(picture image.Image) *image.Paletted {
	count := map[color.RGBA]int{}
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	var colours color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] }) {
		near := func(other color.Color) bool {
			o := other.(color.RGBA)
			return max(c.R, o.R)-min(c.R, o.R) < 6 && max(c.G, o.G)-min(c.G, o.G) < 6 && max(c.B, o.B)-min(c.B, o.B) < 6
		}
		if len(colours) < 256 && !(count[c] < 1000 && slices.ContainsFunc(colours, near)) {
			colours = append(colours, c)
		}
	}
	p := image.NewPaletted(bounds, colours)
	draw.Draw(p, bounds, picture, bounds.Min, draw.Src)
	return p
}

// startPlayground builds and starts the program, and returns the URL of its page.
func startPlayground(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "playground.exe")
	build := exec.Command("go", "build", "-o", program, "./examples/playground")
	build.Dir = ".."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	command := exec.Command(program, "-port", "0")
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	page := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindString(line)
	require.NotEmpty(t, page, line)
	return page
}

// A browser has the page open in a tab. It records the URLs of all requests and the
// messages of the console.
type browser struct {
	ctx  context.Context
	page string

	mu         sync.Mutex
	requests   []string
	complaints []string
}

// startBrowser starts Chromium with a new profile. It skips the test if Chromium is not
// installed.
func startBrowser(t *testing.T, page string) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no chromium, chromium-browser or google-chrome in the PATH")
	}
	profile, err := os.MkdirTemp("", "playground-test-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) }) // t.TempDir would fail the test if the browser still writes
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.WSURLReadTimeout(hangGuard),
		chromedp.WindowSize(1280, 900),
	}
	for _, flag := range []string{
		"headless", "disable-gpu", "disable-quic", "no-first-run", "no-default-browser-check", "hide-scrollbars", "disable-lcd-text",
		"disable-background-networking", "disable-component-update", "disable-sync",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // the sandbox does not work for root
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*hangGuard)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b := &browser{page: page}
	b.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(b.ctx) }) // waits until the browser has ended
	chromedp.ListenTarget(b.ctx, b.hear)
	b.run(t, network.Enable(), log.Enable(), runtime.Enable(), chromedp.EmulateViewport(1280, 900))
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		b.requests = append(b.requests, e.URL)
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, e.Entry.Text)
	}
}

// forgive waits for a complaint that a test has caused, and removes it.
func (b *browser) forgive(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		i := slices.IndexFunc(b.complaints, func(c string) bool { return strings.Contains(c, text) })
		if i >= 0 {
			b.complaints = slices.Delete(b.complaints, i, i+1)
		}
		return i >= 0
	}, hangGuard, 20*time.Millisecond)
}

// asked returns the number of requests that the page has sent to the program.
func (b *browser) asked() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if strings.HasSuffix(url, "/api") {
			n++
		}
	}
	return n
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	require.NoError(t, chromedp.Run(b.ctx, actions...))
}

// eval returns the value of a JavaScript expression.
func eval[T any](t *testing.T, b *browser, expression string) (value T) {
	t.Helper()
	b.run(t, chromedp.Evaluate(expression, &value))
	return value
}

func (b *browser) open(t *testing.T) {
	t.Helper()
	b.run(t, chromedp.Navigate(b.page), chromedp.Evaluate(measures, nil))
	b.outcome(t)
}

func (b *browser) click(t *testing.T, preset string) {
	t.Helper()
	b.run(t, chromedp.Click(fmt.Sprintf("[data-preset=%q]", preset), chromedp.ByQuery))
}

// press presses keys together with the modifiers.
func (b *browser) press(t *testing.T, keys string, modifiers ...input.Modifier) {
	t.Helper()
	b.run(t, chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...)))
}

// text returns the text of an element.
func (b *browser) text(t *testing.T, selector string) string {
	t.Helper()
	return eval[string](t, b, fmt.Sprintf("document.querySelector(%q).textContent", selector))
}

// An outcome is the result that the page shows.
type outcome struct {
	Summary string
	Step    string // the last step that was reached
	State   string // of that step
	Whole   string // state of the outcome as a whole
}

// outcome waits until the page shows the result of the last action, and returns it.
func (b *browser) outcome(t *testing.T) (o outcome) {
	t.Helper()
	require.Eventually(t, func() bool {
		var done bool
		err := chromedp.Run(b.ctx, chromedp.Evaluate(`document.querySelector("#outcome").ariaBusy === "false"`, &done))
		return err == nil && done
	}, hangGuard, 20*time.Millisecond)
	return eval[outcome](t, b, `(() => {
		const last = [...document.querySelectorAll("#steps li")].findLast((item) => item.dataset.state !== "not reached");
		return {
			summary: document.querySelector("#summary").textContent,
			step: last?.dataset.step || "",
			state: last?.dataset.state || "",
			whole: document.querySelector(".verdict").dataset.state,
		};
	})()`)
}

// tabTo presses the Tab key until the element has the focus.
func (b *browser) tabTo(t *testing.T, selector string) {
	t.Helper()
	b.tab(t, selector)
}

func (b *browser) tabBackTo(t *testing.T, selector string) {
	t.Helper()
	b.tab(t, selector, input.ModifierShift)
}

func (b *browser) tab(t *testing.T, selector string, modifiers ...input.Modifier) {
	t.Helper()
	for range 100 {
		b.press(t, kb.Tab, modifiers...)
		if eval[bool](t, b, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			return
		}
	}
	require.Fail(t, "the Tab key does not reach the element", selector)
}

// testRow tests that the row of the step that refuses says what the verdict says.
func (b *browser) testRow(t *testing.T, preset string) {
	t.Helper()
	detail := eval[string](t, b, `document.querySelector("#steps li:is([data-state=refused], [data-state='cannot tell']) .detail")?.textContent ?? ""`)
	why := b.text(t, "#why")
	assert.True(t, strings.HasSuffix(why, detail) && (detail == "") == (why == ""), "%s: the row says %q, the verdict %q", preset, detail, why)
}

// testParts tests that the box of a token shows the whole token, and each part in a colour.
func (b *browser) testParts(t *testing.T, id string) {
	t.Helper()
	shown := eval[struct {
		Value, Copy string
		Colours     []string
		Hidden      float64 // pixels of the text that are outside the textarea
	}](t, b, fmt.Sprintf(`(() => {
		const box = document.getElementById(%q);
		const copy = box.previousElementSibling;
		const range = document.createRange();
		range.selectNodeContents(copy);
		return {
			value: box.value,
			copy: copy.textContent,
			colours: [...copy.children].map((part) => getComputedStyle(part).color),
			hidden: Math.max(0, range.getBoundingClientRect().bottom - box.getBoundingClientRect().bottom, box.scrollHeight - box.clientHeight),
		};
	})()`, id))
	if strings.HasSuffix(shown.Value, "\n") {
		shown.Value += " "
	}
	assert.Equal(t, shown.Value, shown.Copy, id)
	assert.Len(t, shown.Colours, min(3, strings.Count(shown.Value, ".")+1), id)
	slices.Sort(shown.Colours)
	assert.Len(t, slices.Compact(shown.Colours), len(shown.Colours), "colours of %s", id)
	assert.Zero(t, shown.Hidden, id)
}

// testControls tests the controls of the page:
//   - The Tab key reaches each control, in the order of the page and back.
//   - The focus is visible.
//   - The Tab key leaves the page after the last control.
//   - Each control has a label, and a name for assistive technology.
func (b *browser) testControls(t *testing.T) {
	t.Helper()
	want := eval[[]string](t, b, "controls().map(nameOf)")
	require.Greater(t, len(want), 40)
	stops := func(first string, modifiers ...input.Modifier) (names []string) {
		t.Helper()
		b.run(t, chromedp.Evaluate(first+".focus({focusVisible: true})", nil))
		for ; ; b.press(t, kb.Tab, modifiers...) {
			name := eval[string](t, b, `document.activeElement === document.body ? "" : nameOf(document.activeElement)`)
			if name == "" || slices.Contains(names, name) { // the browser may go from the last control to the first
				return names
			}
			if names = append(names, name); len(names) == 1 {
				continue // the script focused this control; the way back tests it with the keyboard
			}
			// A part of the control is visible and not covered (WCAG 2.4.11).
			assert.True(t, eval[bool](t, b, `(() => {
				const style = getComputedStyle(document.activeElement);
				const box = document.activeElement.getBoundingClientRect();
				return style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2 && [box.top + 5, box.bottom - 5].some((y) =>
					document.elementFromPoint(box.left + box.width / 2, y) === document.activeElement);
			})()`), "the focus is not visible at %s", name)
		}
	}
	assert.Equal(t, want, stops("controls()[0]"))
	back := stops("controls().at(-1)", input.ModifierShift)
	slices.Reverse(back)
	assert.Equal(t, want, back)

	assert.Empty(t, eval[[]string](t, b, `controls().filter((e) =>
		e.labels && !e.matches("button") && ![...e.labels].some((label) => label.textContent.trim())).map(nameOf)`), "controls without a label")
	// The types of cdproto fit only one version of Chromium, so the test has its own.
	type value struct {
		Value any `json:"value"`
	}
	var tree struct {
		Nodes []struct {
			Ignored bool  `json:"ignored"`
			Role    value `json:"role"`
			Name    value `json:"name"`
		} `json:"nodes"`
	}
	b.run(t, chromedp.ActionFunc(func(ctx context.Context) error {
		return cdp.Execute(ctx, accessibility.CommandGetFullAXTree, nil, &tree)
	}))
	named := map[string]int{}
	for _, node := range tree.Nodes {
		switch node.Role.Value {
		case "button", "textbox", "combobox", "checkbox", "radio", "group", "region":
			if !node.Ignored {
				assert.NotEmpty(t, node.Name.Value, node.Role.Value)
				named[fmt.Sprint(node.Role.Value, " ", node.Name.Value)]++
			}
		}
	}
	for name, n := range named {
		assert.Equal(t, 1, n, "%d elements have the name %s", n, name)
	}
	assert.GreaterOrEqual(t, len(named), len(want))
}

// overflowing is an expression for the elements that are wider than the window. It
// leaves out elements that scroll.
const overflowing = `(() => {
	const wide = [...document.querySelectorAll("body *")].filter((e) =>
		e.checkVisibility() && !e.closest("pre, .group > div, .unseen, .sprite, .bare > legend, option") && e.getBoundingClientRect().right > innerWidth + 0.5);
	if (document.documentElement.scrollWidth > innerWidth) {
		wide.push(document.documentElement);
	}
	return wide.map((e) => e.tagName + " " + e.className + " " + e.id);
})()`

// recordsKeys is a script that records for each private key whether it can be read.
const recordsKeys = `
globalThis.madeKeys = [];
const generateKey = crypto.subtle.generateKey.bind(crypto.subtle);
crypto.subtle.generateKey = async (...asked) => {
	const pair = await generateKey(...asked);
	madeKeys.push(pair.privateKey.extractable);
	return pair;
};
`

// measures declares JavaScript functions that the tests call in the page.
const measures = `
// controls returns the elements that the Tab key should reach.
function controls() {
	return [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter((e) =>
		e.checkVisibility() && !e.disabled && (e.type !== "radio" || e.checked));
}

function nameOf(e) {
	return e.id || e.dataset.preset || e.name || e.type;
}

// isCovered reports whether another element lies over the middle of e or of its last line.
function isCovered(e) {
	const { left, top, width, height } = e.getBoundingClientRect();
	const y = height > 100 ? top + height - 10 : top + height / 2; // a tall control may begin above the window
	const hit = document.elementFromPoint(left + Math.min(width / 2, 20), y);
	return !(e.contains(hit) || hit?.contains(e));
}

// colour returns red, green, blue and alpha.
function colour(text) {
	const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
	return [red, green, blue, alpha];
}

// luminance and contrast are defined in WCAG 2.2.
function luminance([red, green, blue]) {
	const [r, g, b] = [red, green, blue].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
	const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
	return (light + 0.05) / (dark + 0.05);
}

// behind returns the background colour of an element.
function behind(e) {
	for (; e; e = e.parentElement) {
		const c = colour(getComputedStyle(e).backgroundColor);
		if (c[3] === 1) {
			return c;
		}
	}
	return [255, 255, 255];
}

// faint returns the elements with too little contrast. Text needs 4.5 (WCAG 1.4.3),
// icons and the edges of controls need 3 (1.4.11).
function faint() {
	const found = [];
	const measure = (e, what, foreground, background, least) => {
		if (colour(foreground)[3] === 0) {
			return; // a copy with colours lies below
		}
		const ratio = contrast(colour(foreground), background);
		if (ratio < least) {
			found.push([what, e.tagName, e.className.baseVal ?? e.className, e.id, ratio.toFixed(2)].join(" "));
		}
	};
	for (const e of document.body.querySelectorAll("*")) {
		if (!e.checkVisibility() || e.closest("symbol, .unseen")) {
			continue;
		}
		const style = getComputedStyle(e);
		if ([...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim()) || e.matches("input, textarea, select")) {
			measure(e, "text", style.color, behind(e), 4.5);
		}
		if (e.placeholder) {
			measure(e, "placeholder", getComputedStyle(e, "::placeholder").color, behind(e), 4.5);
		}
		if (e.matches(".icon")) {
			measure(e, "icon", style.color, behind(e), 3);
		}
		if (e.matches("button, select, textarea, input:not([type=radio], [type=checkbox])")) {
			measure(e, "edge", style.borderTopColor, behind(e.parentElement), 3);
		}
	}
	return found;
}
`
