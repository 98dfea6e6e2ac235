// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * PCI addresses: what is taken, what it becomes, and what is refused without
 * touching the output.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pciaddr.h"
#include "tap.h"

static void good(const char *text, const char *want)
{
	char out[PEERBAR_ADDRESS_MAX] = "";

	if (is_int(pb_address_parse(text, out), 0, "\"%s\" is taken", text))
		is_str(out, want, "\"%s\" is %s", text, want);
}

static void bad(const char *text)
{
	static unsigned int number;
	char out[PEERBAR_ADDRESS_MAX] = "untouched";

	/* Not named in the output: one of them is two lines long. */
	is_int(pb_address_parse(text, out), -EINVAL, "bad address %u is refused", ++number);
	is_str(out, "untouched", "and leaves the output alone");
}

static void order(const char *a, const char *b)
{
	ok(pb_address_compare(a, b) < 0 && pb_address_compare(b, a) > 0, "%s comes before %s", a,
	   b);
}

int main(void)
{
	static const char *const refused[] = {
		NULL,
		"",
		"0",
		":",
		"::.",
		"0000:00:04",
		"0000:00:04.",
		"00:04",
		"0000:00:04.8",
		"0000:00:20.0",
		"0000:00:04.00",
		"000:00:04.0",
		"000000000:00:04.0",
		"0000:0:04.0",
		"0000:00:4.0",
		"0000:000:04.0",
		" 0000:00:04.0",
		"0000:00:04.0 ",
		"0000:00:04.0\n",
		"0000:00:04.0/..",
		"../0000:00:04.0",
		"0000-00-04.0",
		"g000:00:04.0",
		"0000:00:04.g",
		"0x00:00:04.0",
		"-000:00:04.0",
		"0000:00:04.0:",
		"00:00:04.0",
		":00:04.0",
	};

	good("0000:00:04.0", "0000:00:04.0");
	good("00:04.0", "0000:00:04.0");
	good("AB:1F.7", "0000:ab:1f.7");
	good("ffff:ff:1f.7", "ffff:ff:1f.7");
	good("10000:01:00.0", "10000:01:00.0");
	good("ffffffff:ff:1f.7", "ffffffff:ff:1f.7");
	good("00000001:01:00.0", "0001:01:00.0");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		bad(refused[i]);
	order("0000:00:04.0", "0000:00:04.1");
	order("0000:00:1f.7", "0000:01:00.0");
	order("ffff:ff:1f.7", "10000:00:00.0");
	is_int(pb_address_compare("0000:00:04.0", "0000:00:04.0"), 0, "an address equals itself");
	return done_testing();
}
