/*
 * cmd.c - the table of commands: which one is allowed in which state, with
 * which arguments, and who does it.  Arguments are checked here, once and
 * strictly; a command that isn't permitted now is answered here as well.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kpop/internal.h"

enum arg {
    ARG_NONE,
    ARG_NAME,      /* USER, APOP: the rest of the line, no control octets */
    ARG_PASSWORD,  /* PASS: the rest of the line, or nothing */
    ARG_ANY,       /* not looked at */
    ARG_MSG,
    ARG_OPT_MSG,
    ARG_MSG_LINES, /* TOP */
    ARG_RANGE      /* XDELE: a first message, and perhaps a last one */
};

struct command {
    char name[6];
    unsigned states;
    enum arg arg;
    unsigned option; /* 0, or the one that it belongs to */
    void (*run)(struct engine *engine, const struct cmd_args *args);
};

static const struct command commands[] = {
    { "CAPA", IN_AUTH | IN_TRANS, ARG_NONE, 0, capa_run },
    { "LANG", IN_AUTH | IN_TRANS, ARG_ANY, 0, lang_run },
    { "USER", IN_AUTH, ARG_NAME, 0, authz_user },
    { "PASS", IN_AUTH, ARG_PASSWORD, 0, authz_pass },
    { "APOP", IN_AUTH, ARG_NAME, 0, authz_apop },
    { "AUTH", IN_AUTH, ARG_ANY, 0, auth_run },
    { "STLS", IN_AUTH, ARG_NONE, 0, authz_stls },
    { "UTF8", IN_AUTH, ARG_NONE, OPTION_UTF8, authz_utf8 },
    { "QUIT", IN_AUTH, ARG_NONE, 0, authz_quit },
    { "STAT", IN_TRANS, ARG_NONE, 0, trans_stat },
    { "LIST", IN_TRANS, ARG_OPT_MSG, 0, trans_list },
    { "UIDL", IN_TRANS, ARG_OPT_MSG, 0, trans_uidl },
    { "RETR", IN_TRANS, ARG_MSG, 0, retr_retr },
    { "TOP", IN_TRANS, ARG_MSG_LINES, 0, retr_top },
    { "DELE", IN_TRANS, ARG_MSG, 0, trans_dele },
    { "NOOP", IN_TRANS, ARG_NONE, 0, trans_noop },
    { "RSET", IN_TRANS, ARG_NONE, 0, trans_rset },
    { "LAST", IN_TRANS, ARG_NONE, OPTION_LAST, old_last },
    { "XDELE", IN_TRANS, ARG_RANGE, OPTION_XDELE, old_xdele },
    { "*ENV", IN_TRANS, ARG_MSG, OPTION_SDPS, sdps_env },
    { "QUIT", IN_TRANS, ARG_NONE, 0, trans_quit },
};

static char
upper(uint8_t octet)
{
    return (char)(octet >= 'a' && octet <= 'z' ? octet - 'a' + 'A' : octet);
}

static bool
is_named(const struct command *command, const uint8_t *name, size_t len)
{
    size_t i;

    if (len != strlen(command->name))
        return false;
    for (i = 0; i < len; i++)
        if (upper(name[i]) != command->name[i])
            return false;
    return true;
}

static bool
is_off(const struct engine *engine, const struct command *command)
{
    return (command->option & ~engine->settings.options) != 0;
}

/* The row for this state, or some row of that name; NULL: no such name. */
static const struct command *
find(const struct engine *engine, const uint8_t *name, size_t len)
{
    const struct command *found = NULL;
    size_t i;

    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!is_named(&commands[i], name, len)
            || is_off(engine, &commands[i]))
            continue;
        found = &commands[i];
        if ((found->states & engine->state) != 0)
            break;
    }
    return found;
}

/* Which octets a line may hold besides printable ASCII: a password nearly all,
 * a user name those of 8 bits. */
static bool
is_clean(enum arg arg, const uint8_t *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        bool control = text[i] < 0x20 || text[i] == 0x7f;

        if (arg == ARG_PASSWORD ? text[i] == '\0' || text[i] == '\r'
            : arg == ARG_NAME   ? control
                                : control || text[i] > 0x7f)
            return false;
    }
    return true;
}

/* Digits only, and all of them; false on anything else and on overflow. */
static bool
get_number(const uint8_t *text, size_t len, uint64_t *number_out)
{
    uint64_t number = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        unsigned digit = (unsigned)text[i] - '0';

        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *number_out = number;
    return len > 0;
}

/* From 0; deleted ones are messages, too. */
static bool
get_msgno(struct engine *engine, const uint8_t *text, size_t len,
          uint32_t *msg_out)
{
    uint64_t msgno;

    if (!get_number(text, len, &msgno)) {
        engine_reply(engine, "-ERR a message number is wanted here");
        return false;
    }
    if (msgno == 0 || msgno > engine->drop.count) {
        engine_reply(engine, "-ERR no such message");
        return false;
    }
    *msg_out = (uint32_t)(msgno - 1);
    return true;
}

static bool
get_msg(struct engine *engine, const uint8_t *text, size_t len,
        struct cmd_args *args)
{
    if (!get_msgno(engine, text, len, &args->msg))
        return false;
    args->has_msg = true;
    if (drop_is_deleted(&engine->drop, args->msg)) {
        engine_reply(engine, "-ERR that message is deleted");
        return false;
    }
    return true;
}

static bool
get_msg_lines(struct engine *engine, struct cmd_args *args)
{
    const uint8_t *blank = args->len > 0 ? memchr(args->text, ' ', args->len)
                                         : NULL;
    size_t first = blank != NULL ? (size_t)(blank - args->text) : 0;

    if (blank == NULL
        || !get_number(blank + 1, args->len - first - 1, &args->lines)) {
        engine_reply(engine, "-ERR TOP wants a message number and a number "
                             "of lines");
        return false;
    }
    return get_msg(engine, args->text, first, args);
}

static bool
get_range(struct engine *engine, struct cmd_args *args)
{
    const uint8_t *blank = args->len > 0 ? memchr(args->text, ' ', args->len)
                                         : NULL;
    size_t first = blank != NULL ? (size_t)(blank - args->text) : args->len;

    if (!get_msgno(engine, args->text, first, &args->msg))
        return false;
    args->last_msg = args->msg;
    if (blank != NULL
        && !get_msgno(engine, blank + 1, args->len - first - 1,
                      &args->last_msg))
        return false;
    if (args->last_msg < args->msg)
        engine_reply(engine, "-ERR no such message");
    return args->last_msg >= args->msg;
}

/* False, and answered, when they are not what the command takes. */
static bool
get_args(struct engine *engine, enum arg arg, struct cmd_args *args)
{
    switch (arg) {
    case ARG_NONE:
        if (args->len > 0)
            engine_reply(engine, "-ERR this command takes no argument");
        return args->len == 0;
    case ARG_NAME:
        if (args->len == 0)
            engine_reply(engine, "-ERR a user name is wanted here");
        return args->len > 0;
    case ARG_MSG:
        return get_msg(engine, args->text, args->len, args);
    case ARG_OPT_MSG:
        return !args->has_arg
               || get_msg(engine, args->text, args->len, args);
    case ARG_RANGE:
        return get_range(engine, args);
    case ARG_MSG_LINES:
        return get_msg_lines(engine, args);
    case ARG_PASSWORD:
    case ARG_ANY:
        break;
    }
    return true;
}

static void
refuse_now(struct engine *engine)
{
    if (engine->state == IN_AUTH)
        engine_reply(engine, "-ERR log in first");
    else
        engine_reply(engine, "-ERR not after login");
}

void
cmd_run(struct engine *engine, const uint8_t *line, size_t len)
{
    const uint8_t *blank = len > 0 ? memchr(line, ' ', len) : NULL;
    size_t name_len = blank != NULL ? (size_t)(blank - line) : len;
    const struct command *command = find(engine, line, name_len);
    struct cmd_args args = { .text = line + len };

    if (blank != NULL) {
        args.has_arg = true;
        args.text = blank + 1;
        args.len = len - name_len - 1;
    }
    if (command == NULL)
        engine_reply(engine, "-ERR unknown command");
    else if ((command->states & engine->state) == 0)
        refuse_now(engine);
    else if (!is_clean(command->arg, args.text, args.len))
        engine_reply(engine, "-ERR forbidden octets in the line");
    else if (get_args(engine, command->arg, &args))
        command->run(engine, &args);
}
