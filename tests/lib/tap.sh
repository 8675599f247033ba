# tap.sh - TAP for shell tests.  `none NAME` reads offences from stdin: no line
# is a pass, else the lines are shown.  `skip NAME REASON`.  End with `plan`.
#
# SPDX-License-Identifier: MIT

# A file counts, because `none` runs at the end of pipes, in a subshell.
tap_state=$(mktemp)
BUILD=${BUILD:-build}

tap()
{
    echo "$1" >>"$tap_state"
    echo "$1 $(wc -l <"$tap_state") - $2"
}

none()
{
    offences=$(cat)
    if [ -z "$offences" ]; then
        tap ok "$1"
    else
        tap "not ok" "$1"
        printf '%s\n' "$offences" | sed 's/^/# /'
    fi
}

skip()
{
    tap ok "$1 # SKIP $2"
}

plan()
{
    echo "1..$(wc -l <"$tap_state")"
    code=0
    ! grep -q '^not' "$tap_state" || code=1
    rm -f "$tap_state"
    exit $code
}

# tracked PATTERN...: files of the project, also ones not committed yet.
tracked()
{
    if [ -e .git ]; then
        git -c safe.directory="$PWD" ls-files --cached --others \
            --exclude-standard -- "$@" | while read -r file; do
            [ ! -f "$file" ] || echo "$file"
        done
    else
        for pattern in "$@"; do
            find . -path "./build*" -prune -o -type f -path "./$pattern" \
                -print | sed 's|^\./||'
        done
    fi | sort -u
}

# c_sources, or those under the folders named.
c_sources()
{
    if [ $# -eq 0 ]; then
        tracked '*.c' '*.h'
    else
        for folder in "$@"; do
            tracked "$folder/*.c" "$folder/*.h"
        done
    fi
}
