/*
 * put.c - the facts that come with the answer to a request.  The host is
 * trusted to mean well, not to be right: whatever does not fit fails its
 * request, so that nothing malformed ever reaches a client.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kpop/internal.h"

static int
fail(struct engine *engine, int error)
{
    engine->put_error = error;
    return error;
}

/* A fact for a question that is not open harms nobody's answer. */
static bool
is_asked(const struct engine *engine, enum engine_need need)
{
    return engine->answered != NULL && engine->request.need == need;
}

int
engine_put_challenge(struct engine *engine, const void *data, size_t len)
{
    if (!is_asked(engine, ENGINE_START) && !is_asked(engine, ENGINE_STEP)
        && !is_asked(engine, ENGINE_REFUSE))
        return STATUS_INVALID;
    if (len > ENGINE_CHALLENGE_MAX || buf_len(&engine->challenge) > 0)
        return fail(engine, STATUS_INVALID);
    buf_append(&engine->challenge, data, len);
    if (buf_failed(&engine->challenge))
        return fail(engine, STATUS_NO_MEMORY);
    return STATUS_OK;
}

int
engine_put_user(struct engine *engine, const char *user)
{
    size_t len = strlen(user);
    size_t i;

    if (!is_asked(engine, ENGINE_START) && !is_asked(engine, ENGINE_STEP))
        return STATUS_INVALID;
    if (len == 0 || len > ENGINE_USER_MAX)
        return fail(engine, STATUS_INVALID);
    for (i = 0; i < len; i++)
        if ((unsigned char)user[i] < 0x20 || user[i] == 0x7f)
            return fail(engine, STATUS_INVALID);
    memcpy(engine->login.user, user, len + 1);
    engine->has_user = true;
    return STATUS_OK;
}

int
engine_put_box(struct engine *engine, uint32_t count, uint64_t octets)
{
    int status;

    if (!is_asked(engine, ENGINE_OPEN))
        return STATUS_INVALID;
    if (engine->state == IN_CLOSING)
        return STATUS_OK; /* too late: the driver closes it again */
    status = drop_open(&engine->drop, count, octets);
    return status == STATUS_OK ? STATUS_OK : fail(engine, status);
}

int
engine_put_policy(struct engine *engine, uint32_t expire,
                  uint32_t login_delay)
{
    if (!is_asked(engine, ENGINE_OPEN))
        return STATUS_INVALID;
    engine->policy = (struct policy){ expire, login_delay };
    return STATUS_OK;
}

static bool
is_uidl(const char *uidl)
{
    size_t len;

    if (uidl == NULL)
        return false;
    for (len = 0; uidl[len] != '\0'; len++)
        if (len == ENGINE_UIDL_MAX || uidl[len] < 0x21 || uidl[len] > 0x7e)
            return false;
    return len > 0;
}

int
engine_put_msg(struct engine *engine, uint64_t octets, const char *uidl)
{
    struct answer *answer = &engine->answer;
    uint32_t msg;

    if (!is_asked(engine, ENGINE_LIST))
        return STATUS_INVALID;
    if (engine->msgs_given == engine->request.count || !is_uidl(uidl)
        || octets >= UINT64_MAX - answer->octets)
        return fail(engine, STATUS_INVALID);
    msg = engine->request.first + engine->msgs_given++;
    answer->octets += octets;
    if (answer->add != NULL)
        answer->add(engine, msg, octets, uidl);
    if (buf_failed(&answer->listing))
        return fail(engine, STATUS_NO_MEMORY);
    return STATUS_OK;
}

int
engine_put_envelope(struct engine *engine, const char *sender,
                    const char *recipient)
{
    int status;

    if (!is_asked(engine, ENGINE_ENVELOPE))
        return STATUS_INVALID;
    status = sdps_put(engine, sender, recipient);
    return status == STATUS_OK ? STATUS_OK : fail(engine, status);
}
