# table.awk - makes C of the catalogues: awk -f table.awk de.po fr.po ...
#
# A catalogue is a .po file with one line for each msgid and msgstr, sorted by
# msgid as strcmp() does; tests/style/lang checks that.
#
# SPDX-License-Identifier: MIT
BEGIN {
    print "#include \"kpop/lang.h\""
}
FNR == 1 {
    finish()
    tag = FILENAME
    sub(/.*\//, "", tag)
    sub(/\.po$/, "", tag)
    tags[++count] = tag
    printf "\nstatic const struct lang_entry entries_%s[] = {\n", tag
}
/^msgid "/ {
    english = substr($0, 7)
}
/^msgstr "/ && english != "\"\"" {
    printf "    { %s, %s },\n", english, substr($0, 8)
}
END {
    finish()
    print "\nconst struct lang lang_table[] = {"
    for (i = 1; i <= count; i++)
        printf "    { \"%s\", entries_%s,\n      sizeof(entries_%s) / " \
            "sizeof(entries_%s[0]) },\n", tags[i], tags[i], tags[i], tags[i]
    print "};"
    printf "\nconst size_t lang_count = %d;\n", count
}
function finish()
{
    if (count > 0)
        print "};"
}
