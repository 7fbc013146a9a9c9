package jwttest

import (
	"context"
	"net/http"
)

// A Case is what a test may see of one of the corpus.
type Case struct {
	Family, Name, Rule string
	Firm               string
	Accept             bool
	Bytes              []byte
	Request            func(context.Context) *http.Request // as the handler is called with it
	OnlyTCP            bool
}

// Corpus returns the cases of a target.
func Corpus(target Target) ([]Case, error) {
	all, err := newCorpus(target, "http://127.0.0.1:1")
	var cases []Case
	for _, c := range all {
		cases = append(cases, Case{
			Family: c.family, Name: c.name, Rule: c.rule, Firm: c.firm.String(), Accept: c.accept,
			Bytes: c.request.bytes(), Request: c.request.http, OnlyTCP: c.request.only == overTCP,
		})
	}
	return cases, err
}
