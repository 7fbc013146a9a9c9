package migration

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/jwtgate/jwtgate"
)

// shadow runs behind the old middleware until you switch. It passes every request on
// and logs those that gate would refuse.
func shadow(gate *jwtgate.Gate, logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var refusal *jwtgate.Error
		if _, err := gate.Check(r); errors.As(err, &refusal) {
			logger.WarnContext(r.Context(), "the gate would refuse", "reason", refusal.Reason(), "error", refusal, "path", r.URL.Path)
		}
		next.ServeHTTP(w, r)
	})
}
