# run.sh - the parts of tests/run: finding test programs, running one with a
# time limit, counting its TAP.  Sourced by tests/run only.
#
# SPDX-License-Identifier: MIT

# prepare CHECKER: environment, scratch folder, clean-up.
prepare()
{
    BUILD=$(cd "${BUILD:-build}" && pwd)
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/kpop-test.XXXXXX")
    lanes=
    trap 'rm -rf "$scratch"' EXIT
    # shellcheck disable=SC2086
    trap 'kill $lanes 2>/dev/null; wait; exit 1' HUP INT TERM
    # kpopd's own users must get to what tests lay there.
    chmod 755 "$scratch"
    KPOP_CHECKER=$1
    KPOP_WRAP=
    preload=
    # Valgrind is 20 to 50 times slower.
    slow=1
    case $1 in
    asan | tsan) slow=3 ;;
    coverage)
        slow=3
        # Every user can read it there.
        preload=$scratch/preload_exit.so
        cp "$BUILD/tests/lib/preload_exit.so" "$preload"
        ;;
    valgrind) slow=30 ;;
    esac
    export BUILD KPOP_CHECKER
    export LC_ALL=C PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
    unset KRB5_CONFIG KRB5CCNAME KRB5_KTNAME KRB5_TRACE KRB5RCACHENAME \
        DISPLAY LD_PRELOAD
    [ -z "$preload" ] || export LD_PRELOAD="$preload"
    # A test must not depend on who runs it.
    umask 022
}

# prepare_lane NUMBER: its own folders, and where checkers leave reports.
prepare_lane()
{
    own=$scratch/lane$1
    TMPDIR=$own/tmp
    reports=$own/reports
    mkdir "$own" "$TMPDIR" "$reports"
    chmod 1777 "$reports"
    case $KPOP_CHECKER in
    asan)
        export ASAN_OPTIONS="detect_leaks=1:verify_asan_link_order=0:detect_stack_use_after_return=1:strict_string_checks=1:log_path=$reports/asan"
        export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$reports/ubsan"
        export LSAN_OPTIONS="suppressions=$PWD/tests/lib/lsan.supp:print_suppressions=0"
        ;;
    tsan)
        export TSAN_OPTIONS="halt_on_error=1:log_path=$reports/tsan"
        ;;
    valgrind)
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
    export TMPDIR KPOP_WRAP
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

# run_one PROGRAM: runs it and prints a line, and what went wrong.
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
    # In the background, because a trap waits for what is not.
    # shellcheck disable=SC2086
    timeout -k 10 "$(time_limit "$1")" $wrap "$1" </dev/null \
        >"$own/out" 2>"$own/err" &
    child=$!
    wait "$child" || code=$?
    drop_ignorance
    find "$reports" -type f -size +0 >"$own/found"
    awk -v code="$code" -v reported="$(wc -l <"$own/found")" \
        -f tests/lib/tap.awk "$own/out" >"$own/now"
    read -r p f s trouble <"$own/now"
    echo "$p $f $s" >>"$own/counts"
    printf '%-40s %4d s %4d passed' "$name" $(($(date +%s) - began)) "$p"
    [ "$f" -eq 0 ] || printf ', %d FAILED' "$f"
    [ "$s" -eq 0 ] || printf ', %d skipped' "$s"
    echo
    [ "$s" -eq 0 ] || grep -i '# skip' "$own/out" | sed 's/^/    /'
    [ "$f" -eq 0 ] || show_failure
    find "$reports" -type f -exec rm -f {} +
}

# valgrind warns of a call that it does not know (3.19: seccomp, openat2); that
# fails as on an older kernel and is no finding.
drop_ignorance()
{
    for report in "$reports"/valgrind.*; do
        [ ! -s "$report" ] || sed -i \
            '/-- WARNING: unhandled .* syscall: /,/bug_reports/d' "$report"
    done
}

show_failure()
{
    [ -z "$trouble" ] || echo "    $trouble"
    grep -v '^ok ' "$own/out" | tail -n 200 | sed 's/^/    /'
    tail -n 200 "$own/err" | sed 's/^/    | /'
    while read -r report; do
        head -n 100 "$report" | sed 's/^/    ! /'
    done <"$own/found"
}

# run_lane NUMBER: takes one program after the other that no lane has taken.
run_lane()
{
    prepare_lane "$1"
    child=
    trap - EXIT
    trap 'kill $child 2>/dev/null; wait; exit 1' HUP INT TERM
    number=0
    while read -r program; do
        number=$((number + 1))
        mkdir "$scratch/taken$number" 2>/dev/null || continue
        run_one "$program" >"$own/report"
        cat "$own/report"
    done <"$scratch/programs"
}

# run_all COUNT: what is in the list, by as many lanes at a time.
run_all()
{
    while [ "$(echo "$lanes" | wc -w)" -lt "$1" ]; do
        run_lane "$(echo "$lanes" | wc -w)" &
        lanes="$lanes $!"
    done
    wait
}

# Each program has its counts, or a lane has died.
sum_up()
{
    cat "$scratch"/lane*/counts | awk -v wanted="$(wc -l <"$scratch/programs")" '
        { passed += $1; failed += $2; skipped += $3 }
        END {
            failed += wanted - NR
            print passed + 0 " passed, " failed + 0 " failed, " \
                skipped + 0 " skipped"
            exit failed > 0 || passed + skipped == 0
        }'
}
