/*
 * pieces.h - what kpop-login and libmech_kpop.so say to each other inside
 * Dovecot's auth protocol, whose lines are limited to 16 KiB in base64.
 *
 * The client's side (kpop-login) sends the AP-REQ in pieces, each an octet
 * and up to PIECE_MAX octets of the AP-REQ; the mechanism asks for the next
 * one by PIECE_NEXT.  Behind the last piece it answers PIECE_PROVED with the
 * AP-REP (or nothing), or PIECE_REFUSED with a KRB_ERROR, and fails when that
 * was answered by anything.  After PIECE_PROVED comes the name of USER as it
 * is, and success or failure.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef DOVECOT_PIECES_H
#define DOVECOT_PIECES_H

/* Octets of an AP-REQ in a message: 8 KiB are 11 KiB in base64. */
#define PIECE_MAX 8192u

/* An AP-REQ; the module refuses longer ones before they get here. */
#define PIECES_MAX (128u * 1024u)

/* kpop-login says */
#define PIECE_MORE 'm'
#define PIECE_LAST 'l'

/* the mechanism says */
#define PIECE_NEXT 'n'
#define PIECE_PROVED 'p'
#define PIECE_REFUSED 'r'

#endif
