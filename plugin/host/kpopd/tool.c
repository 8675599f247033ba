/*
 * tool.c - the address of the socket between kpopd and kpopctl; opens nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "plugin/host/kpopd/tool.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

bool
tool_address(const char *state_dir, struct sockaddr_un *address_out)
{
    int len;

    memset(address_out, 0, sizeof(*address_out));
    address_out->sun_family = AF_UNIX;
    len = snprintf(address_out->sun_path, sizeof(address_out->sun_path),
                   "%s/" TOOL_SOCKET, state_dir);
    return len > 0 && (size_t)len < sizeof(address_out->sun_path);
}
