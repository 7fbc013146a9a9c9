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
	probes, err := newCorpus(target, "http://127.0.0.1:1")
	var cases []Case
	for _, p := range probes {
		cases = append(cases, Case{
			Family: p.family, Name: p.name, Rule: p.rule, Firm: p.firm.String(), Accept: p.accept,
			Bytes: p.request.bytes(), Request: p.request.http, OnlyTCP: p.request.only == overTCP,
		})
	}
	return cases, err
}
