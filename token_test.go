package jwtgate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jwtgate/jwtgate"
)

// acceptance 42
func TestDecode(t *testing.T) {
	t.Parallel()
	token, err := newGate(t).Verify(t.Context(), hs256(map[string]any{
		"big": json.RawMessage("12345678901234567890123"), "id": json.RawMessage("9007199254740993"), "rate": json.RawMessage("0.1000000000000000055"),
	}))
	require.NoError(t, err)

	var all map[string]any
	require.NoError(t, token.Decode(&all))
	assert.Equal(t, json.Number("12345678901234567890123"), all["big"])
	assert.Equal(t, json.Number("0.1000000000000000055"), all["rate"])
	assert.Equal(t, "alice", all["sub"])
	var typed struct {
		ID  int64
		Big json.Number
	}
	require.NoError(t, token.Decode(&typed))
	assert.EqualValues(t, int64(9007199254740993), typed.ID)
	assert.EqualValues(t, "12345678901234567890123", typed.Big)
	var wrong struct{ Sub int }
	require.Error(t, token.Decode(&wrong))
	require.Error(t, token.Decode(nil))

	ctx := jwtgate.NewContext(t.Context(), token)
	generic, err := jwtgate.Decode[struct{ Sub string }](ctx)
	require.NoError(t, err)
	assert.Equal(t, "alice", generic.Sub)
	_, err = jwtgate.Decode[struct{ Sub int }](ctx)
	require.Error(t, err)
	_, err = jwtgate.Decode[map[string]any](t.Context())
	require.ErrorIs(t, err, jwtgate.ErrNoToken)

	// A token made by hand has no claims, and a nil one has nothing at all.
	require.ErrorContains(t, (&jwtgate.Token{Subject: "alice"}).Decode(&all), "made by hand")
	var none *jwtgate.Token
	require.Error(t, none.Decode(&all))
}

func TestContext(t *testing.T) {
	t.Parallel()
	_, ok := jwtgate.FromContext(t.Context())
	assert.False(t, ok)
	assert.Empty(t, jwtgate.Subject(t.Context()))

	token := &jwtgate.Token{Subject: "alice"}
	ctx := jwtgate.NewContext(t.Context(), token)
	got, ok := jwtgate.FromContext(ctx)
	assert.True(t, ok)
	assert.Same(t, token, got)
	assert.Equal(t, "alice", jwtgate.Subject(ctx))

	got, ok = jwtgate.FromContext(jwtgate.NewContext(ctx, nil))
	assert.False(t, ok)
	assert.Nil(t, got)
	assert.Empty(t, jwtgate.Subject(jwtgate.NewContext(ctx, nil)))

	type key struct{}
	assert.Equal(t, "alice", jwtgate.Subject(context.WithValue(ctx, key{}, 1)))
}

func TestTokenLogValue(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	raw := hs256(map[string]any{"sub": "al\nice", "jti": strings.Repeat("j", 1000)})
	token, err := newGate(t).Verify(t.Context(), raw)
	require.NoError(t, err)
	logger.Info("hello", "token", token)
	assert.Contains(t, log.String(), `token.iss=https://auth.example.com/`)
	assert.Contains(t, log.String(), `token.sub="\"al\\nice\""`)
	assert.Less(t, log.Len(), 512)
	assert.NotContains(t, log.String(), raw[:30])

	var none *jwtgate.Token
	logger.Info("hello", "token", none)
	logger.Info("hello", "token", &jwtgate.Token{Subject: "made by hand"})
	assert.Contains(t, log.String(), `token.sub="made by hand"`)
}
