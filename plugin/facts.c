/*
 * facts.c - copies what a host says about a connection, so that a session
 * never depends on the host's memory nor on the host's version of the struct.
 * Opens nothing, trusts the host's pointers but not its sizes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/facts.h"

#include <stdlib.h>
#include <string.h>

/* Members of struct kpop_facts that are text. */
static const size_t texts[] = {
    offsetof(struct kpop_facts, service),
    offsetof(struct kpop_facts, session_id),
    offsetof(struct kpop_facts, peer_address),
    offsetof(struct kpop_facts, local_address),
    offsetof(struct kpop_facts, tls_version),
    offsetof(struct kpop_facts, tls_cipher),
    offsetof(struct kpop_facts, tls_server_name),
    offsetof(struct kpop_facts, binding_type),
};
enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

static const struct {
    size_t data;
    size_t size;
} octets[] = {
    { offsetof(struct kpop_facts, client_certificate),
      offsetof(struct kpop_facts, client_certificate_size) },
    { offsetof(struct kpop_facts, binding),
      offsetof(struct kpop_facts, binding_size) },
    { offsetof(struct kpop_facts, end_point),
      offsetof(struct kpop_facts, end_point_size) },
    { offsetof(struct kpop_facts, finished),
      offsetof(struct kpop_facts, finished_size) },
};
enum { OCTETS = sizeof(octets) / sizeof(octets[0]) };

static const char **
text_at(struct kpop_facts *facts, size_t i)
{
    return (const char **)(void *)((char *)facts + texts[i]);
}

static const void **
octets_at(struct kpop_facts *facts, size_t i)
{
    return (const void **)(void *)((char *)facts + octets[i].data);
}

static size_t *
size_at(struct kpop_facts *facts, size_t i)
{
    return (size_t *)(void *)((char *)facts + octets[i].size);
}

static bool
service_is_known(const struct kpop_facts *facts)
{
    return facts_are_kpop(facts) || strcmp(facts->service, "pop3") == 0
           || strcmp(facts->service, "pop3s") == 0;
}

/* Completes *full and adds up the room its texts and bytes need. */
static int32_t
facts_measure(struct kpop_facts *full, const char *default_id,
              size_t *need_out)
{
    size_t need = 0;

    for (size_t i = 0; i < TEXTS; i++) {
        const char **text = text_at(full, i);
        size_t len;

        if (*text == NULL)
            *text = "";
        len = strnlen(*text, FACTS_TEXT_MAX + 1);
        if (len > FACTS_TEXT_MAX)
            return KPOP_INVALID;
        need += len + 1;
    }
    if (full->session_id[0] == '\0') {
        full->session_id = default_id;
        need += strlen(default_id);
    }
    for (size_t i = 0; i < OCTETS; i++) {
        if (*octets_at(full, i) == NULL)
            *size_at(full, i) = 0;
        if (*size_at(full, i) > FACTS_BYTES_MAX)
            return KPOP_INVALID;
        need += *size_at(full, i);
    }
    *need_out = need;
    return service_is_known(full) ? KPOP_OK : KPOP_INVALID;
}

/* Copies octets to *at and moves it on. */
static const void *
place(char **at, const void *data, size_t size)
{
    char *here = *at;

    if (size > 0)
        memcpy(here, data, size);
    *at += size;
    return here;
}

int32_t
facts_copy(const struct kpop_facts *facts, const char *default_id,
           struct kpop_facts **facts_out)
{
    const size_t head = offsetof(struct kpop_facts, session_id);
    struct kpop_facts full = { 0 };
    struct kpop_facts *copy;
    size_t size, need;
    char *at;

    if (facts == NULL || facts->size < head)
        return KPOP_INVALID;
    size = facts->size < sizeof(full) ? facts->size : sizeof(full);
    /* No half pointer at the end. */
    size -= (size - head) % sizeof(void *);
    memcpy(&full, facts, size);
    full.size = sizeof(full);
    if (facts_measure(&full, default_id, &need) != KPOP_OK)
        return KPOP_INVALID;
    copy = malloc(sizeof(*copy) + need);
    if (copy == NULL)
        return KPOP_NO_MEMORY;
    *copy = full;
    at = (char *)(copy + 1);
    for (size_t i = 0; i < TEXTS; i++) {
        const char **text = text_at(copy, i);

        *text = place(&at, *text, strlen(*text) + 1);
    }
    for (size_t i = 0; i < OCTETS; i++)
        *octets_at(copy, i) = place(&at, *octets_at(copy, i),
                                    *size_at(copy, i));
    *facts_out = copy;
    return KPOP_OK;
}

bool
facts_are_secret(const struct kpop_facts *facts)
{
    return facts->ssf > 0 || facts->tls_version[0] != '\0';
}

bool
facts_are_kpop(const struct kpop_facts *facts)
{
    return strcmp(facts->service, "kpop") == 0;
}
