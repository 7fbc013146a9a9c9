package providers

import (
	"github.com/jwtgate/jwtgate"
	"github.com/jwtgate/jwtgate/keys"
)

// GitLabCI accepts the ID tokens of CI/CD jobs of one project that run on a protected
// branch. instance is the URL of the GitLab instance, such as https://gitlab.com.
//
// Every project of the instance can get a token for any audience that its job asks for.
// Only the rules refuse other projects. They compare the project's ID, because somebody else
// can take the path of a project that was renamed or deleted. The ID is on the page of the
// project.
//
// The rules also want ref_protected, because a job on any other branch runs what anybody who
// may push has written. ref has no refs/heads/ before it, so a tag may have the name of the
// branch: ref_type tells them apart. Protect the branch. Instead of ref you can require an
// environment: jwtgate.Claim("environment", "production").
//
// On a self-managed instance before 18.2.2, a merge request from a fork could get a token
// with the project_id and the protected ref of the project: update first.
//
// Choose an audience that names your service, and have the job request it by the keyword
// id_tokens in .gitlab-ci.yml.
//
// The subject has the form project_path:group/project:ref_type:branch:ref:main. A project can
// change the form, so log the subject but do not parse it.
func GitLabCI(instance, audience, projectID, branch string) jwtgate.Options {
	return jwtgate.Options{
		Keys:      &keys.Remote{},
		Issuers:   []string{instance},
		Audiences: []string{audience},
		Rules: []jwtgate.Rule{
			jwtgate.Claim("project_id", projectID),
			jwtgate.Claim("ref_type", "branch"),
			jwtgate.Claim("ref", branch),
			jwtgate.Claim("ref_protected", "true"),
		},
	}
}
