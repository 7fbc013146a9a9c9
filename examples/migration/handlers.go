package migration

import (
	"encoding/json"
	"log"
	"net/http"

	"github.com/jwtgate/jwtgate"
)

// A profile has the claims that a handler needs.
type profile struct {
	Email string   `json:"email"`
	Roles []string `json:"roles"`
}

func showProfile(w http.ResponseWriter, r *http.Request) {
	me, err := jwtgate.Decode[profile](r.Context())
	if err != nil { // no gate in front of the handler, or a claim that is not of the type in profile
		http.Error(w, "no profile", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(me); err != nil {
		log.Print(err) // the client closed the connection
	}
}
