#!/usr/bin/env bash
# Checks the API of a release against the release before it, and prints release
# notes: the commits since then, and the changes of the API.
#
#	bash .github/release.sh v0.2.0 >notes.md
#
# The argument is a tag of this clone. The release before it is the nearest older
# tag that is not a pre-release. If there is none, nothing is compared.
#
# The check fails if a change of the API is incompatible and the version does not
# announce it (semver.org): v0 announces it with a new minor version, later
# versions with a new major version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export GOWORK=off
apidiff=golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4
(($# == 1)) || { echo 'usage: bash .github/release.sh TAG' >&2 && exit 2; }
tag=$1
[[ $tag =~ ^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?$ ]] ||
	{ echo "$tag is not a version such as v0.2.0" >&2 && exit 2; }
git rev-parse --quiet --verify "refs/tags/$tag" >/dev/null || { echo "there is no tag $tag" >&2 && exit 2; }
last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' --exclude '*-*' "$tag^" 2>/dev/null || true)

tmp=$(mktemp -d)
finish() {
	git worktree remove --force "$tmp/tree" 2>/dev/null || true
	rm -rf "$tmp"
}
trap finish EXIT

# api writes the API of all packages at a commit to a file.
api() {
	git worktree add --quiet --detach "$tmp/tree" "$1"
	(cd "$tmp/tree" && "$tmp/apidiff" -m -w "$2" "$(go list -m)")
	git worktree remove --force "$tmp/tree"
}

# announced prints the part of a version that changes with an incompatible API.
announced() {
	case $1 in
	v0.*) cut -d. -f1,2 <<<"$1" ;;
	*) cut -d. -f1 <<<"$1" ;;
	esac
}

echo '## Changes'
echo
git log --no-merges --reverse --format='- %s' ${last:+"$last.."}"$tag"
[[ -n $last ]] || exit 0

GOTOOLCHAIN=auto GOBIN=$tmp go install "$apidiff" # may ask for a newer Go than this library
api "$last" "$tmp/old"
api "$tag" "$tmp/new"
"$tmp/apidiff" -m "$tmp/old" "$tmp/new" >"$tmp/changes"
"$tmp/apidiff" -m -incompatible "$tmp/old" "$tmp/new" >"$tmp/incompatible"
printf '\n## API since %s\n\n' "$last"
if [[ -s $tmp/changes ]]; then
	printf '```\n%s\n```\n' "$(<"$tmp/changes")"
else
	echo 'No changes.'
fi
if [[ -s $tmp/incompatible && $(announced "$last") == $(announced "$tag") ]]; then
	printf 'The API of %s is incompatible with %s. Choose a version that says so. The changes:\n' "$tag" "$last" >&2
	cat "$tmp/incompatible" >&2
	exit 1
fi
