# run.sh - the parts of tests/run: finding test programs, running one with a
# time limit, counting its TAP.  Sourced by tests/run only.
#
# SPDX-License-Identifier: MIT

passed=0
failed=0
skipped=0

# prepare CHECKER: environment, scratch folder, clean-up.
prepare()
{
    BUILD=$(cd "${BUILD:-build}" && pwd)
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/kpop-test.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT TERM
    TMPDIR=$scratch/tmp
    reports=$scratch/reports
    mkdir "$TMPDIR" "$reports"
    # kpopd's own users must get to what tests lay there.
    chmod 755 "$scratch" "$TMPDIR"
    chmod 1777 "$reports"
    KPOP_CHECKER=$1
    KPOP_WRAP=
    preload=
    # Valgrind is 20 to 50 times slower.
    slow=1
    case $1 in
    asan)
        slow=3
        export ASAN_OPTIONS="detect_leaks=1:verify_asan_link_order=0:detect_stack_use_after_return=1:strict_string_checks=1:log_path=$reports/asan"
        export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$reports/ubsan"
        export LSAN_OPTIONS="suppressions=$PWD/tests/lib/lsan.supp:print_suppressions=0"
        ;;
    coverage)
        slow=3
        # Every user can read it there.
        preload=$scratch/preload_exit.so
        cp "$BUILD/tests/lib/preload_exit.so" "$preload"
        ;;
    tsan)
        slow=3
        export TSAN_OPTIONS="halt_on_error=1:log_path=$reports/tsan"
        ;;
    valgrind)
        slow=30
        KPOP_WRAP="valgrind -q --leak-check=full --vgdb=no"
        # Names in libraries that were unloaded, for the suppressions.
        KPOP_WRAP="$KPOP_WRAP --keep-debuginfo=yes"
        KPOP_WRAP="$KPOP_WRAP --trace-children=yes"
        # Not the KDC, not the clients.
        KPOP_WRAP="$KPOP_WRAP --trace-children-skip=*/bin/*,*/sbin/*,*/tests/lib/*"
        KPOP_WRAP="$KPOP_WRAP --error-exitcode=99 --num-callers=25"
        KPOP_WRAP="$KPOP_WRAP --suppressions=$PWD/tests/lib/valgrind.supp"
        KPOP_WRAP="$KPOP_WRAP --log-file=$reports/valgrind.%p"
        ;;
    esac
    export BUILD TMPDIR KPOP_CHECKER KPOP_WRAP
    export LC_ALL=C PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
    unset KRB5_CONFIG KRB5CCNAME KRB5_KTNAME KRB5_TRACE KRB5RCACHENAME \
        DISPLAY LD_PRELOAD
    [ -z "$preload" ] || export LD_PRELOAD="$preload"
    # A test must not depend on who runs it.
    umask 022
}

# programs_of GROUP: one path a line.
programs_of()
{
    case $1 in
    unit | dialog | abi)
        for source in tests/"$1"/*.c; do
            program=$BUILD/${source%.c}
            if [ -x "$program" ]; then
                echo "$program"
            fi
        done
        scripts_of "$1"
        ;;
    fuzz)
        for source in tests/fuzz/fuzz_*.c; do
            echo "$BUILD/${source%.c}"
        done
        ;;
    */*) echo "$1" ;;
    *) scripts_of "$1" ;;
    esac
}

# Executable scripts of a folder; what only helps them has no x bit.
scripts_of()
{
    for script in tests/"$1"/*; do
        if [ -f "$script" ] && [ -x "$script" ]; then
            echo "$script"
        fi
    done
}

# A file says "TIME-LIMIT: 300" (seconds) near its top, or gets 60.
time_limit()
{
    source=${1#"$BUILD"/}
    [ -f "$source" ] || source=$source.c
    limit=$(sed -n '1,20s/.*TIME-LIMIT: \([0-9]*\).*/\1/p' "$source" |
        head -n 1)
    echo $((${limit:-60} * slow))
}

# run_one PROGRAM: runs it, counts, shows what went wrong.
run_one()
{
    name=${1#"$BUILD"/}
    name=${name#tests/}
    wrap=
    case $1 in
    "$BUILD"/*) wrap=$KPOP_WRAP ;;
    esac
    code=0
    began=$(date +%s)
    # shellcheck disable=SC2086
    timeout -k 10 "$(time_limit "$1")" $wrap "$1" </dev/null \
        >"$scratch/out" 2>"$scratch/err" || code=$?
    find "$reports" -type f -size +0 >"$scratch/found"
    awk -v code="$code" -v reported="$(wc -l <"$scratch/found")" \
        -f tests/lib/tap.awk "$scratch/out" >"$scratch/counts"
    read -r p f s trouble <"$scratch/counts"
    passed=$((passed + p))
    failed=$((failed + f))
    skipped=$((skipped + s))
    printf '%-40s %4d s %4d passed' "$name" $(($(date +%s) - began)) "$p"
    [ "$f" -eq 0 ] || printf ', %d FAILED' "$f"
    [ "$s" -eq 0 ] || printf ', %d skipped' "$s"
    echo
    [ "$s" -eq 0 ] || grep -i '# skip' "$scratch/out" | sed 's/^/    /'
    [ "$f" -eq 0 ] || show_failure
    find "$reports" -type f -exec rm -f {} +
}

show_failure()
{
    [ -z "$trouble" ] || echo "    $trouble"
    grep -v '^ok ' "$scratch/out" | tail -n 200 | sed 's/^/    /'
    tail -n 200 "$scratch/err" | sed 's/^/    | /'
    while read -r report; do
        head -n 100 "$report" | sed 's/^/    ! /'
    done <"$scratch/found"
}

sum_up()
{
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
}
