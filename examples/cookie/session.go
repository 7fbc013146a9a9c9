package main

import (
	"crypto/subtle"
	"log"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// lifetime is how long a user stays signed in.
const lifetime = time.Hour

// login answers the right password with a cookie that holds a token.
func login(secret []byte, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, given := r.PostFormValue("user"), r.PostFormValue("password")
		if user != "alice" || subtle.ConstantTimeCompare([]byte(given), []byte(password)) != 1 {
			http.Error(w, "wrong user or password", http.StatusForbidden)
			return
		}
		token, err := sign(secret, user, time.Now().Add(lifetime))
		if err != nil {
			log.Print(err)
			http.Error(w, "cannot sign in", http.StatusInternalServerError)
			return
		}
		http.SetCookie(w, session(token, int(lifetime.Seconds())))
		w.WriteHeader(http.StatusNoContent)
	})
}

// logout deletes the cookie.
func logout(w http.ResponseWriter, _ *http.Request) {
	// The browser deletes the token. A copy of the token stays valid until it
	// expires. To revoke it earlier, use Options.Validate (see examples/revocation).
	http.SetCookie(w, session("", -1))
	w.WriteHeader(http.StatusNoContent)
}

// session returns the cookie that holds a token. login and logout must use the same
// attributes, because a browser deletes only a cookie whose name, domain and path
// match.
func session(token string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name:     cookieName,
		Value:    token,
		MaxAge:   maxAge,               // the token's lifetime; the gate refuses the token afterwards
		Path:     "/",                  // the prefix __Host- requires this, Secure and no Domain
		Secure:   true,                 // sent only over TLS
		HttpOnly: true,                 // hidden from scripts, including injected scripts
		SameSite: http.SameSiteLaxMode, // sent when a user follows a link from another site, not with forms and scripts of that site
	}
}

// sign returns a token for a user.
func sign(secret []byte, user string, expires time.Time) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": site, "aud": site, "sub": user, "exp": expires.Unix(),
	}).SignedString(secret)
}
