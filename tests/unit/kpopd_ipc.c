/*
 * kpopd_ipc.c - frames between processes: what is sent arrives, and what is
 * malformed is refused without a look at what isn't there.
 *
 * SPDX-License-Identifier: MIT
 */
#include "plugin/host/kpopd/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugin/host/kpopd/authmsg.h"
#include "plugin/host/kpopd/control.h"
#include "plugin/host/kpopd/permit.h"
#include "tests/lib/check.h"

static uint8_t frame[IPC_FRAME_MAX];

static size_t
make_start(const void *data, size_t size)
{
    struct auth_request request;

    memset(&request, 0, sizeof(request));
    request.type = AUTH_START;
    request.exchange = 42;
    request.mechanism = "KPOP";
    request.facts.service = "kpop";
    request.facts.session_id = "s1";
    request.facts.peer_address = "192.0.2.1";
    request.facts.peer_port = 4711;
    request.facts.ssf = 256;
    request.facts.tls_version = "TLSv1.3";
    request.facts.binding = "\0\1\2";
    request.facts.binding_size = 3;
    request.data = data;
    request.size = size;
    return auth_request_encode(&request, frame, sizeof(frame));
}

TEST(request_arrives_as_it_was_sent)
{
    struct auth_request request;
    size_t len = make_start("ab\0c", 4);

    CHECK(len > 0);
    CHECK(auth_request_decode(frame, len, &request));
    CHECK_INT(request.type, AUTH_START);
    CHECK_INT(request.exchange, 42);
    CHECK_STR(request.mechanism, "KPOP");
    CHECK_STR(request.facts.service, "kpop");
    CHECK_STR(request.facts.peer_address, "192.0.2.1");
    CHECK_STR(request.facts.local_address, "");
    CHECK_INT(request.facts.peer_port, 4711);
    CHECK_INT(request.facts.ssf, 256);
    CHECK_STR(request.facts.tls_version, "TLSv1.3");
    CHECK_MEM(request.facts.binding, request.facts.binding_size, "\0\1\2", 3);
    CHECK_MEM(request.data, request.size, "ab\0c", 4);
}

TEST(no_data_and_empty_data_stay_different)
{
    struct auth_request request;
    size_t len = make_start(NULL, 0);

    CHECK(auth_request_decode(frame, len, &request));
    CHECK(request.data == NULL);
    len = make_start("", 0);
    CHECK(auth_request_decode(frame, len, &request));
    CHECK(request.data != NULL);
    CHECK_INT(request.size, 0);
}

TEST(ap_req_of_128_kib_fits_and_a_longer_one_does_not)
{
    struct auth_request request;
    uint8_t *big = calloc(1, AUTH_DATA_MAX + 1);
    size_t len;

    CHECK(big != NULL);
    len = make_start(big, 128 * 1024);
    CHECK(len > 0);
    CHECK(auth_request_decode(frame, len, &request));
    CHECK_INT(request.size, 128 * 1024);
    CHECK_INT(make_start(big, AUTH_DATA_MAX + 1), 0);
    free(big);
}

TEST(every_truncation_of_a_request_is_refused)
{
    struct auth_request request;
    size_t len = make_start("abcd", 4);
    size_t cut;
    uint8_t *copy;

    for (cut = 0; cut < len; cut++) {
        /* A heap copy of that size: sanitizers see a look beyond. */
        copy = malloc(cut + 1);
        CHECK(copy != NULL);
        memcpy(copy, frame, cut);
        if (cut >= IPC_HEADER) {
            uint32_t length = (uint32_t)cut;

            memcpy(copy + 8, &length, sizeof(length));
        }
        CHECK(!auth_request_decode(copy, cut, &request));
        free(copy);
    }
}

TEST(every_flipped_octet_of_a_request_does_no_harm)
{
    struct auth_request request;
    size_t len = make_start("abcd", 4);
    uint8_t *copy = malloc(len);
    size_t i;

    CHECK(copy != NULL);
    for (i = 0; i < len; i++) {
        memcpy(copy, frame, len);
        copy[i] ^= 0xFF;
        if (auth_request_decode(copy, len, &request))
            CHECK(request.size <= len);
    }
    free(copy);
}

TEST(trailing_octets_are_refused)
{
    struct auth_request request;
    size_t len = make_start("abcd", 4);
    uint32_t length = (uint32_t)len + 1;

    frame[len] = 0;
    memcpy(frame + 8, &length, sizeof(length));
    CHECK(!auth_request_decode(frame, len + 1, &request));
}

TEST(other_version_type_and_length_are_refused)
{
    struct auth_request request;
    size_t len = make_start("abcd", 4);

    frame[0]++;
    CHECK(!auth_request_decode(frame, len, &request));
    frame[0]--;
    CHECK(auth_request_decode(frame, len, &request));
    frame[4] = AUTH_ANSWER;
    CHECK(!auth_request_decode(frame, len, &request));
    frame[4] = AUTH_START;
    frame[8]++;
    CHECK(!auth_request_decode(frame, len, &request));
}

TEST(text_with_a_nul_inside_is_refused)
{
    struct ipc_writer w;
    struct ipc_reader r;
    size_t len;

    ipc_begin(&w, frame, sizeof(frame), 1);
    ipc_put_bytes(&w, "a\0b", 4);
    len = ipc_finish(&w);
    CHECK(ipc_open(&r, frame, len));
    CHECK_STR(ipc_get_text(&r, 10), "");
    CHECK(!ipc_done(&r));
    ipc_begin(&w, frame, sizeof(frame), 1);
    ipc_put_bytes(&w, "abc", 3);
    len = ipc_finish(&w);
    CHECK(ipc_open(&r, frame, len));
    CHECK_STR(ipc_get_text(&r, 10), "");
    CHECK(!ipc_done(&r));
}

TEST(answer_arrives_and_impossible_results_are_refused)
{
    struct auth_answer answer;
    struct auth_answer back;
    size_t len;

    memset(&answer, 0, sizeof(answer));
    answer.exchange = 7;
    answer.result = KPOP_CONTINUE;
    answer.outcome.challenge = "xyz";
    answer.outcome.challenge_size = 3;
    answer.outcome.user = "alice";
    len = auth_answer_encode(&answer, frame, sizeof(frame));
    CHECK(auth_answer_decode(frame, len, &back));
    CHECK_INT(back.exchange, 7);
    CHECK_INT(back.result, KPOP_CONTINUE);
    CHECK_STR(back.outcome.user, "alice");
    CHECK_MEM(back.outcome.challenge, back.outcome.challenge_size, "xyz", 3);
    answer.result = KPOP_PENDING;
    len = auth_answer_encode(&answer, frame, sizeof(frame));
    CHECK(!auth_answer_decode(frame, len, &back));
    answer.result = KPOP_TAKEN;
    len = auth_answer_encode(&answer, frame, sizeof(frame));
    CHECK(!auth_answer_decode(frame, len, &back));
    answer.result = -77;
    len = auth_answer_encode(&answer, frame, sizeof(frame));
    CHECK(!auth_answer_decode(frame, len, &back));
}

TEST(control_frames_carry_a_descriptor)
{
    struct control control;
    struct control back;
    int fds[2];
    int pipes[2];
    int pass;
    char c;

    CHECK_INT(ipc_pair(fds), 0);
    CHECK_INT(pipe(pipes), 0);
    memset(&control, 0, sizeof(control));
    control.type = CONTROL_CONNECTION;
    control.id = 99;
    control.peer_port = 1109;
    strcpy(control.service, "kpop");
    CHECK_INT(control_send(fds[0], &control, pipes[1]), 0);
    CHECK_INT(control_recv(fds[1], &back, &pass), 1);
    CHECK_INT(back.id, 99);
    CHECK_STR(back.service, "kpop");
    CHECK(pass >= 0);
    CHECK_INT(write(pass, "!", 1), 1);
    CHECK_INT(read(pipes[0], &c, 1), 1);
    close(pass);
    CHECK_INT(control_recv(fds[1], &back, &pass), -1);
    CHECK_INT(errno, EAGAIN);
    close(fds[0]);
    CHECK_INT(control_recv(fds[1], &back, &pass), 0);
    close(fds[1]);
    close(pipes[0]);
    close(pipes[1]);
}

TEST(control_garbage_is_refused)
{
    struct control back;
    int fds[2];
    int pass;
    char big[CONTROL_FRAME_MAX + 8];

    CHECK_INT(ipc_pair(fds), 0);
    memset(big, 0, sizeof(big));
    CHECK_INT(send(fds[0], "hello", 5, 0), 5);
    CHECK_INT(control_recv(fds[1], &back, &pass), -1);
    CHECK_INT(errno, EBADMSG);
    CHECK_INT(send(fds[0], big, sizeof(big), 0), sizeof(big));
    CHECK_INT(control_recv(fds[1], &back, &pass), -1);
    CHECK_INT(errno, EBADMSG);
    CHECK_INT(pass, -1);
    close(fds[0]);
    close(fds[1]);
}

static int taken;
static uint64_t taken_ids;
static int taken_passes;

static void
take_control(void *arg, const struct control *control, int pass)
{
    CHECK(arg == &taken);
    taken++;
    taken_ids = taken_ids * 100 + control->id;
    if (pass >= 0) {
        taken_passes++;
        CHECK_INT(close(pass), 0);
    }
}

static int
recv_some(int fd)
{
    taken = 0;
    taken_ids = 0;
    taken_passes = 0;
    return control_recv_some(fd, take_control, &taken);
}

static void
send_id(int fd, uint64_t id, int pass)
{
    struct control control;

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_CONNECTION;
    control.id = id;
    CHECK_INT(control_send(fd, &control, pass), 0);
}

TEST(controls_come_in_order_and_by_eight)
{
    int fds[2];
    uint64_t i;

    CHECK_INT(ipc_pair(fds), 0);
    CHECK_INT(recv_some(fds[1]), -1);
    CHECK_INT(errno, EAGAIN);
    for (i = 1; i <= IPC_SOME + 3; i++)
        send_id(fds[0], i, i % 2 == 1 ? STDERR_FILENO : -1);
    CHECK_INT(recv_some(fds[1]), IPC_SOME);
    CHECK_INT(taken, IPC_SOME);
    CHECK_INT(taken_ids, 102030405060708);
    CHECK_INT(taken_passes, 4);
    CHECK_INT(recv_some(fds[1]), 3);
    CHECK_INT(taken_ids, 91011);
    CHECK_INT(taken_passes, 2);
    close(fds[0]);
    CHECK_INT(recv_some(fds[1]), 0);
    CHECK_INT(taken, 0);
    close(fds[1]);
}

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

TEST(nothing_is_taken_behind_garbage_or_the_end_and_no_descriptor_stays)
{
    int fds[2];
    int next;

    CHECK_INT(ipc_pair(fds), 0);
    next = dup(STDERR_FILENO);
    CHECK_INT(close(next), 0);
    send_id(fds[0], 1, -1);
    CHECK_INT(ipc_send(fds[0], "nonsense", 8, STDERR_FILENO), 0);
    send_id(fds[0], 2, STDERR_FILENO);
    CHECK_INT(recv_some(fds[1]), -1);
    CHECK_INT(errno, EBADMSG);
    CHECK_INT(taken_ids, 1);
    CHECK(!is_open(next) && !is_open(next + 1));
    send_id(fds[0], 3, -1);
    close(fds[0]);
    CHECK_INT(recv_some(fds[1]), 0);
    CHECK_INT(taken_ids, 3);
    close(fds[1]);
}

TEST(control_texts_have_no_control_characters)
{
    static const char *const bad[] = { "\x1b[2J", "a\tb", "a\nb", "\x7f" };
    uint8_t octets[CONTROL_FRAME_MAX];
    struct control control;
    struct control back;
    size_t len;
    size_t i;

    memset(&control, 0, sizeof(control));
    control.type = CONTROL_LOGGED_IN;
    memset(control.user, 'u', CONTROL_USER_MAX);
    memset(control.mechanism, 'm', CONTROL_MECHANISM_MAX);
    memset(control.tls, 't', CONTROL_TLS_MAX);
    memset(control.service, 's', CONTROL_SERVICE_MAX);
    len = control_encode(&control, octets, sizeof(octets));
    CHECK(len > 0);
    CHECK(control_decode(octets, len, &back));
    CHECK_STR(back.user, control.user);
    CHECK_STR(back.mechanism, control.mechanism);
    CHECK_STR(back.tls, control.tls);
    CHECK_STR(back.service, control.service);
    for (i = 0; i < 4; i++) {
        char *const texts[] = { control.user, control.mechanism, control.tls,
                                control.service };

        strcpy(texts[i], bad[i]);
        len = control_encode(&control, octets, sizeof(octets));
        CHECK(!control_decode(octets, len, &back));
        strcpy(texts[i], "good");
        len = control_encode(&control, octets, sizeof(octets));
        CHECK(control_decode(octets, len, &back));
    }
}

TEST(permit_table_allows_start_step_end_only)
{
    CHECK(permit_request(PERMIT_ABSENT, AUTH_START));
    CHECK(!permit_request(PERMIT_ABSENT, AUTH_STEP));
    CHECK(permit_request(PERMIT_ABSENT, AUTH_END));
    CHECK(!permit_request(PERMIT_CONTINUING, AUTH_START));
    CHECK(permit_request(PERMIT_CONTINUING, AUTH_STEP));
    CHECK(permit_request(PERMIT_CONTINUING, AUTH_END));
}

TEST(permit_decides_once)
{
    CHECK_INT(permit_after(AUTH_START, KPOP_CONTINUE, 1), PERMIT_CONTINUING);
    CHECK_INT(permit_after(AUTH_START, KPOP_OK, 1), PERMIT_ABSENT);
    CHECK_INT(permit_after(AUTH_START, KPOP_AUTH, 1), PERMIT_ABSENT);
    CHECK_INT(permit_after(AUTH_START, KPOP_TEMP, 1), PERMIT_ABSENT);
    CHECK_INT(permit_after(AUTH_STEP, KPOP_OK, 2), PERMIT_ABSENT);
    CHECK_INT(permit_after(AUTH_STEP, KPOP_DENIED, 2), PERMIT_ABSENT);
    CHECK_INT(permit_after(AUTH_STEP, KPOP_TEMP, 2), PERMIT_CONTINUING);
    CHECK_INT(permit_after(AUTH_STEP, KPOP_CONTINUE, PERMIT_STEPS_MAX),
              PERMIT_ABSENT);
    CHECK_INT(permit_after(AUTH_END, KPOP_OK, 1), PERMIT_ABSENT);
}

TEST(mechanism_goes_to_a_pool_that_is_wanted_or_to_none)
{
    struct settings s = { .tickets_wanted = true };

    CHECK_INT(permit_pool("KPOP", &s), POOL_KRB);
    CHECK_INT(permit_pool("GSSAPI", &s), POOL_KRB);
    CHECK_INT(permit_pool("LOGIN", &s), POOL_COUNT);
    CHECK_INT(permit_pool("PLAIN", &s), POOL_COUNT);
    s.password_source = PASSWORDS_FILE;
    CHECK_INT(permit_pool("PLAIN", &s), POOL_PASSWORD);
    s.password_source = PASSWORDS_PAM;
    CHECK_INT(permit_pool("PLAIN", &s), POOL_OUTSIDE);
    CHECK_INT(permit_pool("APOP", &s), POOL_COUNT);
    s.secret_source = SECRETS_FILE;
    CHECK_INT(permit_pool("PLAIN", &s), POOL_OUTSIDE);
    CHECK_INT(permit_pool("SCRAM-SHA-1", &s), POOL_PASSWORD);
    CHECK_INT(permit_pool("CRAM-MD5", &s), POOL_PASSWORD);
    CHECK_INT(permit_pool("KPOP", &s), POOL_KRB);
    CHECK_INT(permit_pool("NTLM", &s), POOL_COUNT);
    s.tickets_wanted = false;
    CHECK_INT(permit_pool("GSSAPI", &s), POOL_COUNT);
}

TEST_MAIN("kpopd_ipc", T(request_arrives_as_it_was_sent),
          T(no_data_and_empty_data_stay_different),
          T(ap_req_of_128_kib_fits_and_a_longer_one_does_not),
          T(every_truncation_of_a_request_is_refused),
          T(every_flipped_octet_of_a_request_does_no_harm),
          T(trailing_octets_are_refused),
          T(other_version_type_and_length_are_refused),
          T(text_with_a_nul_inside_is_refused),
          T(answer_arrives_and_impossible_results_are_refused),
          T(control_frames_carry_a_descriptor),
          T(control_garbage_is_refused),
          T(controls_come_in_order_and_by_eight),
    T(nothing_is_taken_behind_garbage_or_the_end_and_no_descriptor_stays),
    T(control_texts_have_no_control_characters),
          T(permit_table_allows_start_step_end_only),
          T(permit_decides_once),
          T(mechanism_goes_to_a_pool_that_is_wanted_or_to_none))
