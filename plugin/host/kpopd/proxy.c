/*
 * proxy.c - parses the header of the PROXY protocol; pure.  It comes from a
 * proxy that the configuration trusts, and is believed for that reason alone:
 * its form is checked all the same.  TLVs are skipped.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/proxy.h"

#include <string.h>

/* ---- version 1, a line of text ---- */

/* The next word of a line, up to a blank or its end; false without one. */
static bool
take_word(const char **at, char *word, size_t size)
{
    size_t len = strcspn(*at, " ");

    if (len == 0 || len >= size)
        return false;
    memcpy(word, *at, len);
    word[len] = '\0';
    *at += len;
    return true;
}

static bool
take_blank(const char **at)
{
    if (**at != ' ')
        return false;
    (*at)++;
    return true;
}

static bool
take_port(const char **at, unsigned *port_out)
{
    char word[6];
    size_t i;

    if (!take_blank(at) || !take_word(at, word, sizeof(word))
        || (word[0] == '0' && word[1] != '\0'))
        return false;
    for (*port_out = 0, i = 0; word[i] != '\0'; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        *port_out = *port_out * 10 + (unsigned)(word[i] - '0');
    }
    return *port_out <= 65535;
}

static bool
take_address(const char **at, bool is_ip6, struct address *out)
{
    char word[ADDRESS_TEXT_MAX];

    return take_blank(at) && take_word(at, word, sizeof(word))
           && (strchr(word, ':') != NULL) == is_ip6
           && address_parse(word, out);
}

/* A line without its CRLF. */
static bool
parse_line(const char *at, struct proxy_client *client)
{
    struct address here;
    char word[8];
    unsigned port;
    bool is_ip6;

    at += strlen("PROXY");
    if (!take_blank(&at) || !take_word(&at, word, sizeof(word)))
        return false;
    if (strcmp(word, "UNKNOWN") == 0)
        return *at == '\0' || *at == ' '; /* the rest says nothing */
    is_ip6 = strcmp(word, "TCP6") == 0;
    if (!is_ip6 && strcmp(word, "TCP4") != 0)
        return false;
    client->known = true;
    return take_address(&at, is_ip6, &client->address)
           && take_address(&at, is_ip6, &here)
           && take_port(&at, &client->port) && take_port(&at, &port)
           && *at == '\0';
}

static int
parse_v1(const uint8_t *data, size_t len, struct proxy_client *client)
{
    const size_t seen = len < PROXY_V1_MAX ? len : PROXY_V1_MAX;
    const uint8_t *end = memchr(data, '\r', seen);
    char line[PROXY_V1_MAX];
    size_t size = end != NULL ? (size_t)(end - data) : seen;

    if (memchr(data, '\0', size) != NULL || memchr(data, '\n', size) != NULL)
        return -1;
    /* The last place is for the LF. */
    if (size >= PROXY_V1_MAX - 1)
        return -1;
    if (end == NULL || size + 1 == len)
        return 0;
    memcpy(line, data, size);
    line[size] = '\0';
    if (data[size + 1] != '\n' || !parse_line(line, client))
        return -1;
    return (int)size + 2;
}

/* ---- version 2, binary ---- */

enum {
    V2_HEAD = 16,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_STREAM = 0x31, /* the client came to the proxy by a local socket */
    V2_TCP4_SIZE = 12,
    V2_TCP6_SIZE = 36,
    V2_STREAM_SIZE = 216
};

static const uint8_t signature[12] = { 0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                       0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A };

static unsigned
get_u16(const uint8_t *data)
{
    return (unsigned)data[0] << 8 | data[1];
}

/* Octets of addresses; -1 for what can't have come by TCP. */
static int
v2_addresses(uint8_t family)
{
    switch (family) {
    case 0x00:
        return 0;
    case V2_TCP4:
        return V2_TCP4_SIZE;
    case V2_TCP6:
        return V2_TCP6_SIZE;
    case V2_STREAM:
        return V2_STREAM_SIZE;
    default:
        return -1;
    }
}

static void
v2_take_client(const uint8_t *data, struct proxy_client *client)
{
    static const uint8_t mapped[12] = { [10] = 255, [11] = 255 };
    const uint8_t *at = data + V2_HEAD;

    if (data[13] == V2_TCP4) {
        memcpy(client->address.octets, mapped, sizeof(mapped));
        memcpy(client->address.octets + 12, at, 4);
        client->port = get_u16(at + 8);
    } else {
        memcpy(client->address.octets, at, 16);
        client->port = get_u16(at + 32);
    }
    client->known = true;
}

static int
parse_v2(const uint8_t *data, size_t len, struct proxy_client *client)
{
    bool is_local;
    size_t size;
    int addresses;

    /* What is wrong is said at the first octet that shows it. */
    if (len > 12 && data[12] != 0x20 && data[12] != 0x21)
        return -1;
    if (len < V2_HEAD)
        return 0;
    is_local = data[12] == 0x20;
    size = get_u16(data + 14);
    addresses = is_local ? 0 : v2_addresses(data[13]);
    if (addresses < 0 || size < (size_t)addresses
        || size > PROXY_MAX - V2_HEAD)
        return -1;
    if (len < V2_HEAD + size)
        return 0;
    if (!is_local && (data[13] == V2_TCP4 || data[13] == V2_TCP6))
        v2_take_client(data, client);
    return (int)(V2_HEAD + size);
}

/* Are the octets, as far as they go, those of `start`? */
static bool
begins(const uint8_t *data, size_t len, const void *start, size_t size)
{
    return memcmp(data, start, len < size ? len : size) == 0;
}

int
proxy_parse(const uint8_t *data, size_t len, struct proxy_client *client_out)
{
    static const char word[] = "PROXY ";
    int rc = -1;

    memset(client_out, 0, sizeof(*client_out));
    if (len == 0)
        return 0;
    if (begins(data, len, word, sizeof(word) - 1))
        rc = parse_v1(data, len, client_out);
    else if (begins(data, len, signature, sizeof(signature)))
        rc = parse_v2(data, len, client_out);
    if (rc <= 0)
        memset(client_out, 0, sizeof(*client_out));
    return rc;
}
