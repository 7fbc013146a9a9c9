package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// GitHubActions accepts the ID tokens of jobs on github.com. The jobs must belong to one
// repository, and their workflow must run on one ref, such as refs/heads/main.
//
// Every repository on GitHub can get a token of this issuer, for any audience that its
// workflow asks for. Only the rules refuse other repositories. The rules compare IDs,
// because somebody else can take the name of an owner or a repository that was renamed
// or deleted. The command "gh api repos/octo-org/octo-repo --jq '.owner.id, .id'" prints
// the IDs.
//
// The rules also compare ref, because anybody who may push a branch can write a workflow
// for it. Pull requests have other refs, with one exception: the event
// pull_request_target runs on the default branch. If a workflow of the repository runs
// code of a pull request on that event, add a rule for event_name. Instead of ref you
// can require an environment: jwtgate.Claim("environment", "production"). Then the
// protection rules of that environment decide who can get such a token, so define some.
//
// Choose an audience that names your service, and have the workflow request it:
// core.getIDToken("https://deploy.example.com"). Do not use the default audience, the
// URL of the owner: other services accept tokens for it too.
//
// The subject has the form repo:octo-org/octo-repo:ref:refs/heads/main or, with IDs,
// repo:octo-org@65/octo-repo@74:... An organization can change the form, so log the
// subject but do not parse it.
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
