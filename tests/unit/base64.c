/*
 * base64.c - the vectors of RFC 4648 section 10, and everything that is
 * almost base64.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kpop/base64.h"

#include <string.h>

#include "tests/lib/check.h"

static struct buf out;

/* The octets of a text as a string, or "refused". */
static const char *
decoded(const char *text)
{
    static char copy[64];
    int status;

    buf_reset(&out);
    buf_init(&out, sizeof(copy) - 1);
    status = base64_decode(&out, (const uint8_t *)text, strlen(text));
    if (status == STATUS_INVALID) {
        CHECK_INT(buf_len(&out), 0);
        return "refused";
    }
    CHECK_INT(status, STATUS_OK);
    memset(copy, 0, sizeof(copy));
    if (buf_len(&out) > 0)
        memcpy(copy, buf_data(&out), buf_len(&out));
    return copy;
}

static const char *
encoded(const char *octets)
{
    static char copy[64];

    buf_reset(&out);
    buf_init(&out, sizeof(copy) - 1);
    base64_encode(&out, (const uint8_t *)octets, strlen(octets));
    CHECK(!buf_failed(&out));
    memset(copy, 0, sizeof(copy));
    if (buf_len(&out) > 0)
        memcpy(copy, buf_data(&out), buf_len(&out));
    return copy;
}

TEST(vectors_of_rfc_4648)
{
    static const char *const vectors[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        CHECK_STR(encoded(vectors[i][0]), vectors[i][1]);
        CHECK_STR(decoded(vectors[i][1]), vectors[i][0]);
    }
    buf_reset(&out);
}

TEST(every_octet_there_and_back)
{
    uint8_t octets[256];
    struct buf text;

    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (uint8_t)(i * 7 + i / 3);
    for (size_t len = 0; len <= sizeof(octets); len++) {
        buf_init(&text, 400);
        buf_init(&out, 256 + 2);
        base64_encode(&text, octets, len);
        CHECK_INT(buf_len(&text), (len + 2) / 3 * 4);
        CHECK_INT(base64_decode(&out, buf_data(&text), buf_len(&text)),
                  STATUS_OK);
        CHECK_INT(buf_len(&out), len);
        CHECK(len == 0 || memcmp(buf_data(&out), octets, len) == 0);
        buf_reset(&text);
        buf_reset(&out);
    }
}

TEST(r50_5_other_characters_are_refused)
{
    static const char *const wrong[] = {
        "Zm9v Zm9v", "Zm9 ", " Zm9v", "Zm9v\n", "Zm9v\r\n", "Zm9_", "Zm-9",
        "Zm9\x80", "Zm9*", "Z.9v", "Zm9,", "Zm9@", "Zm9[", "Zm9`", "Zm9{",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_STR(decoded(wrong[i]), "refused");
    buf_reset(&out);
}

TEST(r50_5_padding_is_at_the_end_and_whole)
{
    static const char *const wrong[] = {
        "Z",    "Zg",    "Zg=",      "Zm8",       "=",    "==",   "===",
        "====", "Z===",  "=Zm9",     "Zg==Zg==",  "Zm=9", "Z=9v", "Zg=a",
        "Zm9v=", "Zm9v====", "Zg==\n", "Zm8=Zm9v",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_STR(decoded(wrong[i]), "refused");
    buf_reset(&out);
}

TEST(r50_5_bits_behind_the_last_octet_are_zero)
{
    CHECK_STR(decoded("Zh=="), "refused");
    CHECK_STR(decoded("Zv=="), "refused");
    CHECK_STR(decoded("Zm9="), "refused");
    CHECK_STR(decoded("Zm+="), "refused");
    CHECK_STR(decoded("Zm8="), "fo");
    buf_reset(&out);
}

TEST(what_does_not_fit_is_no_memory)
{
    buf_init(&out, 5);
    CHECK_INT(base64_decode(&out, (const uint8_t *)"Zm9vYmFy", 8),
              STATUS_NO_MEMORY);
    CHECK(buf_failed(&out));
    buf_reset(&out);
    base64_encode(&out, (const uint8_t *)"foob", 4);
    CHECK(buf_failed(&out));
    CHECK_INT(buf_len(&out), 0);
    buf_reset(&out);
}

TEST_MAIN("base64", T(vectors_of_rfc_4648), T(every_octet_there_and_back),
          T(r50_5_other_characters_are_refused),
          T(r50_5_padding_is_at_the_end_and_whole),
          T(r50_5_bits_behind_the_last_octet_are_zero),
          T(what_does_not_fit_is_no_memory))
