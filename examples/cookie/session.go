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

// logout takes the cookie back.
func logout(w http.ResponseWriter, _ *http.Request) {
	// The browser forgets the token. A copy of it is good until it expires,
	// unless Options.Validate looks it up among the revoked ones.
	http.SetCookie(w, session("", -1))
	w.WriteHeader(http.StatusNoContent)
}

// session returns the cookie that holds a token. Setting and clearing it take
// the same attributes.
func session(token string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name:     cookieName,
		Value:    token,
		MaxAge:   maxAge,               // the token's lifetime: an expired one would be refused
		Path:     "/",                  // this, Secure and no Domain are what __Host- asks for
		Secure:   true,                 // never without TLS
		HttpOnly: true,                 // out of reach of scripts, injected ones included
		SameSite: http.SameSiteLaxMode, // with other sites' links, not with their forms and scripts
	}
}

// sign returns a token for a user.
func sign(secret []byte, user string, expires time.Time) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": site, "aud": site, "sub": user, "exp": expires.Unix(),
	}).SignedString(secret)
}
