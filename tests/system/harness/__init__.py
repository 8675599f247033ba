# Helpers of the system tests; each module says what it is for.
#
# SPDX-License-Identifier: MIT
