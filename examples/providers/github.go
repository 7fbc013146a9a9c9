package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// GitHubActions accepts the ID tokens that jobs of one repository on
// github.com request, from workflows that run on one ref, such as
// refs/heads/main.
//
// Every repository on GitHub gets tokens of this issuer, for whatever
// audience its workflow asks for. The rules are all that keeps the others
// out. Names of owners and repositories can be given up and taken by
// somebody else, so the rules compare IDs, as in the answer to
// gh api repos/octo-org/octo-repo --jq '.owner.id, .id'.
//
// Anybody who may push a branch can write a workflow for it, which is why
// ref is compared too. Pull requests have refs of their own. Not so
// pull_request_target, which runs on the default branch: if a workflow of
// the repository lets such events run foreign code, add a rule for
// event_name. Instead of ref, jwtgate.Claim("environment", "production")
// leaves the decision to the protection rules of that environment, which it
// must have.
//
// Choose an audience of your own, and have the workflow request it:
// core.getIDToken("https://deploy.example.com"). The default one, the URL of
// the owner, is good for every other service that expects it.
//
// The subject has the form repo:octo-org/octo-repo:ref:refs/heads/main, or
// with IDs repo:octo-org@65/octo-repo@74:..., and an organization can change
// it. Log it, but do not take it apart.
func GitHubActions(audience, ownerID, repositoryID, ref string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{"https://token.actions.githubusercontent.com"},
		Audiences: []string{audience},
		Rules: []jwtgate.Rule{
			jwtgate.Claim("repository_owner_id", ownerID),
			jwtgate.Claim("repository_id", repositoryID),
			jwtgate.Claim("ref", ref),
		},
	}
}
