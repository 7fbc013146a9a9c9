package main

import (
	"testing"

	"github.com/jwtgate/jwtgate/examples/frameworks/internal/suite"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	suite.Test(t, suite.Serve(newHandler))
}

func TestAttack(t *testing.T) {
	t.Parallel()
	suite.Attack(t, newHandler)
}
