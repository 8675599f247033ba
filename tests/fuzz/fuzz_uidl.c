/*
 * fuzz_uidl.c - the unique-ids of other servers: what kpopctl uidl import
 * makes of a dovecot-uidlist, a list of Courier's, headers, an admin's map,
 * and the file that it leaves for kpopd.  What is imported can be read again,
 * is what was asked for, and no two messages have the same; a fault is said
 * in one clean sentence.  The first octet chooses.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tests/fuzz/script.h"
#include "tests/fuzz/uidltext.h"

/* The file of kpopd, as text. */
static char *saved;
static size_t saved_len;

static int
save_text(const struct settings *settings, const char *user,
          struct uidlmap_entry *entries, size_t count)
{
    (void)settings;
    (void)user;
    saved = uidltext_make(entries, count, &saved_len);
    return 0;
}

/* For its judgement; the rest of kpopctl is linked. */
#define uidlmap_save save_text
#include "plugin/cli/uidl_import.c"

enum { MESSAGES = 4 };

static const char *const bases[MESSAGES] = {
    "1.a.host", "2.b.host,S=12", "3.M4P5.c,W=7", "4.\x1b[31md"
};
static struct script headers; /* of the messages */

/* ---- messages ---- */

bool
uidl_header(const struct uidl_box *box, const struct uidl_msg *msg,
            const char *name, char *out, size_t size)
{
    (void)box;
    (void)msg;
    (void)name;
    (void)script_text(&headers, out, size < 80 ? size : 80);
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

bool
uidl_digests(const struct uidl_box *box, const struct uidl_msg *msg,
             char stored_out[UIDL_DIGEST_MAX], char sent_out[UIDL_DIGEST_MAX])
{
    (void)box;
    (void)snprintf(stored_out, UIDL_DIGEST_MAX, "%064x",
                   (unsigned)msg->number);
    (void)snprintf(sent_out, UIDL_DIGEST_MAX, "%064x",
                   (unsigned)msg->number + 16);
    return true;
}

static void
make_box(struct uidl_box *box, struct uidl_msg msgs[MESSAGES])
{
    memset(box, 0, sizeof(*box));
    memset(msgs, 0, MESSAGES * sizeof(msgs[0]));
    box->user = "alice";
    memcpy(box->path, "box", 4);
    box->msgs = msgs;
    box->count = MESSAGES;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        msgs[i].number = i;
        (void)snprintf(msgs[i].base, sizeof(msgs[i].base), "%s", bases[i]);
        (void)snprintf(msgs[i].own, sizeof(msgs[i].own), "%s", bases[i]);
        script_expect(uidl_index_add(&box->bases, bases[i], &msgs[i]),
                      "memory");
    }
    uidl_index_sort(&box->bases);
}

/* ---- one import ---- */

static void
check_faults(struct uidl_import *import)
{
    for (size_t i = 0; i < import->fault_count && i < UIDL_FAULTS_MAX; i++) {
        const char *text = import->faults[i];

        script_expect(text != NULL && strstr(text, ": ") != NULL,
                      "a fault says where it is");
        for (; *text != '\0'; text++)
            script_expect((unsigned char)*text >= 0x20 && *text != 0x7f,
                          "a clean sentence");
        free(import->faults[i]);
    }
}

/* What was asked for is in the file, and nothing twice. */
static void
check_saved(const struct uidl_box *box)
{
    struct uidlmap *map = uidltext_parse(saved, saved_len);
    const char *uidls[MESSAGES];

    script_expect(map != NULL, "what is written can be read");
    for (size_t i = 0; i < MESSAGES; i++) {
        const struct uidl_msg *msg = &box->msgs[i];
        const char *uidl = uidlmap_find(map, msg->base, strlen(msg->base));

        script_expect(msg->other[0] == '\0'
                          || (uidl != NULL && strcmp(uidl, msg->other) == 0),
                      "each unique-id that was imported is written");
        uidls[i] = uidl != NULL ? uidl : msg->own;
        for (size_t k = 0; k < i; k++)
            script_expect(strcmp(uidls[i], uidls[k]) != 0
                              || uidls[i] == msg->own,
                          "no two messages have the same unique-id");
    }
    uidlmap_free(map);
}

/* How many faults it has. */
static size_t
import_text(const struct cli *cli, struct uidlmap *map,
            void (*reader)(struct uidl_import *import),
            const struct script *text)
{
    static struct uidl_msg msgs[MESSAGES];
    static const char nothing[1] = "";
    struct uidl_box box;
    struct uidl_import import = { .cli = cli, .box = &box, .input = "in" };

    make_box(&box, msgs);
    box.map = map;
    headers = *text;
    /* fmemopen() may not be given no octets at all. */
    import.file = text->size > 0
                      ? fmemopen((void *)(uintptr_t)text->data, text->size,
                                 "r")
                      : fmemopen((void *)(uintptr_t)nothing, 1, "r");
    script_expect(import.file != NULL, "a file");
    reader(&import);
    (void)fclose(import.file);
    if (import.fault_count == 0)
        judge_and_write(&import);
    if (import.fault_count == 0)
        check_saved(&box);
    check_faults(&import);
    uidl_index_free(&import.ids);
    uidl_index_free(&import.digests);
    uidl_index_free(&box.bases);
    return import.fault_count;
}

/* The same import again changes nothing. */
static void
import_twice(const struct cli *cli, void (*reader)(struct uidl_import *import),
             const struct script *text)
{
    struct uidlmap *map;
    char *first;
    size_t first_len;

    saved = NULL;
    if (import_text(cli, NULL, reader, text) == 0) {
        first = saved;
        first_len = saved_len;
        map = uidltext_parse(first, first_len);
        saved = NULL;
        script_expect(import_text(cli, map, reader, text) == 0
                          && saved_len == first_len
                          && memcmp(saved, first, first_len) == 0,
                      "what is imported again changes nothing");
        uidlmap_free(map);
        free(first);
    }
    free(saved);
}

/* ---- the file of kpopd ---- */

static void
use_map(struct uidlmap *map)
{
    const struct uidlmap_entry *entries;
    size_t count = uidlmap_entries(map, &entries);
    char uidl[KPOP_UIDL_MAX + 1];

    for (size_t i = 0; i < count; i++) {
        script_expect(maildir_list_is_uidl(entries[i].uidl,
                                           strlen(entries[i].uidl)),
                      "a unique-id");
        /* A name that no file can have is not found. */
        if (strlen(entries[i].base) <= NAME_MAX)
            script_expect(uidlmap_find(map, entries[i].base,
                                       strlen(entries[i].base))
                              == entries[i].uidl,
                          "what is in the file is found");
        (void)snprintf(uidl, sizeof(uidl), "%s", entries[i].uidl);
        uidlmap_avoid(map, uidl);
        for (size_t k = 0; k < count; k++)
            script_expect(strcmp(entries[k].uidl, uidl) != 0,
                          "one that is taken is avoided");
    }
}

static void
read_map_file(struct script *script, bool is_summed)
{
    size_t count = is_summed ? script_next(script) : 0;
    char *text = NULL;
    struct uidlmap *map;
    size_t len;

    if (is_summed) {
        text = uidltext_with_head((const char *)script->data, script->size,
                                  count, &len);
        map = uidltext_parse(text, len);
    } else {
        map = uidltext_parse((const char *)script->data, script->size);
    }
    if (map != NULL)
        use_map(map);
    uidlmap_free(map);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {
        NULL, "%f", "%g", "%08Xu%08Xv", "%{uid}.%{uidvalidity}",
        "%{guid | hex(8)}", "UID%u-%v", "%Mf",
    };
    struct script script = { data, size };
    struct cli cli = { .config = "", .from = "" };
    uint8_t what = script_next(&script);
    char format[64];

    cli.format = formats[what >> 3 & 7u];
    if ((what & 0xc0) == 0xc0) {
        cli.format = script_text(&script, format, sizeof(format));
        if (uidl_format_fault(format) != NULL)
            return 0;
    }
    switch (what % 8) {
    case 0:
    case 1:
        read_map_file(&script, what % 8 == 1);
        break;
    case 2:
    case 3:
    case 4:
        import_twice(&cli, uidl_read_dovecot, &script);
        break;
    case 5:
        import_twice(&cli, uidl_read_courier, &script);
        break;
    case 6:
        import_twice(&cli, uidl_read_map, &script);
        break;
    default:
        import_twice(&cli, uidl_read_header, &script);
        break;
    }
    return 0;
}
