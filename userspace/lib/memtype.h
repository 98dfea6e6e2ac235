/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_MEMTYPE_H
#define PB_MEMTYPE_H

#include <stdio.h>

#include <peerbar/peerbar.h>

/*
 * Looks @addr up in a dump of page tables as arch/x86/mm/dump_pagetables.c
 * prints it. -ENOENT: not in it, or not present; -EIO: no such dump.
 */
int pb_memtype_parse(FILE *dump, uint64_t addr, enum peerbar_memtype *out);

#endif /* PB_MEMTYPE_H */
