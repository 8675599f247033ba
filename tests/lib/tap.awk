# tap.awk - adds up one test program's TAP: prints "PASSED FAILED SKIPPED
# TROUBLE".  Given: code, the exit status; reported, how many reports of a
# sanitizer or valgrind were left.
#
# SPDX-License-Identifier: MIT

BEGIN { plan = -1 }

/^1\.\.[0-9]+/ {
    plan = substr($1, 4) + 0
    if (plan == 0)
        skipped++
    next
}
/^ok/ {
    seen++
    if (tolower($0) ~ /# *skip/)
        skipped++
    else
        passed++
    next
}
/^not ok/ {
    seen++
    failed++
    next
}
/^Bail out!/ { bail = 1 }

END {
    if (code == 124 || code == 137)
        trouble = "ran out of time"
    else if (plan < 0)
        trouble = "printed no plan (1..N), exit status " code
    else if (plan != seen + 0)
        trouble = "planned " plan ", ran " (seen + 0) ", exit status " code
    else if (bail)
        trouble = "bailed out"
    else if (code != 0 && !failed)
        trouble = "all tests ok, but exit status " code
    else if (reported > 0)
        trouble = "left " reported " reports of a checker"
    if (trouble != "" )
        failed++
    print passed + 0, failed + 0, skipped + 0, trouble
}
