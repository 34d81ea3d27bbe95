# shellcheck shell=bash disable=SC2034  # sourced: sets `suite` and `sources` to this machine's own, for a caller that has `die`
# shellcheck disable=SC1091  # a file of the machine
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$suite" ] || die "/etc/os-release has no VERSION_CODENAME; Debian and Ubuntu have it"
sources=()
for file in /etc/apt/sources.list.d/{debian,ubuntu}.sources /etc/apt/sources.list; do
    # With the deb822 file, the old one is at most a comment.
    if [ "${#sources[@]}" = 0 ] && grep -qsE '^(deb|Types:)' "$file"; then sources+=("$file"); fi
done
[ "${#sources[@]}" -gt 0 ] || die "no apt sources in /etc/apt/sources.list.d/{debian,ubuntu}.sources or /etc/apt/sources.list"
