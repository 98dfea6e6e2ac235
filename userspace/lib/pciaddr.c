// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "pciaddr.h"
#include "util.h"

/* Reads @min to @max hex digits followed by @end, and steps over both. */
static bool take_hex(const char **text, unsigned int min, unsigned int max, char end,
		     unsigned long *value)
{
	const char *p = *text;
	unsigned int digits = 0;

	*value = 0;
	for (; isxdigit((unsigned char)*p) && digits < max; p++, digits++) {
		int c = tolower((unsigned char)*p);

		*value = *value * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (digits < min || *p != end)
		return false;
	*text = end ? p + 1 : p;
	return true;
}

int pb_address_parse(const char *text, char out[PEERBAR_ADDRESS_MAX])
{
	unsigned long domain = 0, bus, device, function;
	const char *colon;

	if (!text)
		return -EINVAL;
	colon = strchr(text, ':');
	if (colon && strchr(colon + 1, ':') && !take_hex(&text, 4, 8, ':', &domain))
		return -EINVAL;
	if (!take_hex(&text, 2, 2, ':', &bus) || !take_hex(&text, 2, 2, '.', &device) ||
	    !take_hex(&text, 1, 1, '\0', &function))
		return -EINVAL;
	if (device > 0x1f || function > 7)
		return -EINVAL;
	snprintf(out, PEERBAR_ADDRESS_MAX, "%04lx:%02lx:%02lx.%lx", domain & 0xffffffff, bus & 0xff,
		 device & 0x1f, function & 7);
	return 0;
}

int pb_address_compare(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);

	/* Only the domain varies in length, and it has no needless zeros. */
	if (la != lb)
		return la < lb ? -1 : 1;
	return strcmp(a, b);
}
