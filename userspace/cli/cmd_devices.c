/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "output.h"
#include "pciclass.h"

static bool has_memory_bar(const struct peerbar_device_info *info)
{
	for (unsigned int i = 0; i < PEERBAR_NUM_BARS; i++)
		if (info->bars[i].length && info->bars[i].is_memory)
			return true;
	return false;
}

static bool wanted(const struct cli *cli, const struct peerbar_device_info *info)
{
	return cli_has(cli, CLI_OPT_ALL) || has_memory_bar(info);
}

static struct json_object *bar_json(unsigned int index, const struct peerbar_bar_info *bar)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "bar", json_object_new_int(index));
	json_object_object_add(object, "length", json_object_new_uint64(bar->length));
	json_object_object_add(object, "type",
			       json_object_new_string(bar->is_memory ? "memory" : "io"));
	json_object_object_add(object, "64bit", json_object_new_boolean(bar->is_64bit));
	json_object_object_add(object, "prefetchable",
			       json_object_new_boolean(bar->is_prefetchable));
	json_object_object_add(object, "mmap", json_object_new_boolean(bar->can_mmap));
	return object;
}

static void add_hex(struct json_object *object, const char *key, unsigned int value, int digits)
{
	char text[16];

	snprintf(text, sizeof(text), "%0*x", digits, value);
	json_object_object_add(object, key, json_object_new_string(text));
}

static struct json_object *device_json(const struct peerbar_device_info *info)
{
	struct json_object *object = json_object_new_object();
	struct json_object *bars = json_object_new_array();

	json_object_object_add(object, "address", json_object_new_string(info->address));
	add_hex(object, "vendor", info->vendor, 4);
	add_hex(object, "device", info->device, 4);
	add_hex(object, "class", info->class_code, 6);
	json_object_object_add(object, "class_name",
			       json_object_new_string(pci_class_name(info->class_code)));
	json_object_object_add(object, "driver",
			       *info->driver ? json_object_new_string(info->driver) : NULL);
	json_object_object_add(object, "iommu_group",
			       info->iommu_group < 0 ?
				       NULL : json_object_new_int(info->iommu_group));
	json_object_object_add(object, "bound", json_object_new_boolean(info->vfio_bound));
	for (unsigned int i = 0; i < PEERBAR_NUM_BARS; i++)
		if (info->bars[i].length)
			json_object_array_add(bars, bar_json(i, &info->bars[i]));
	json_object_object_add(object, "bars", bars);
	return object;
}

static void print_json(const struct cli *cli, const struct peerbar_device_info *infos,
		       size_t count)
{
	struct json_object *document = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		if (wanted(cli, &infos[i]))
			json_object_array_add(list, device_json(&infos[i]));
	json_object_object_add(document, "devices", list);
	out_json(document);
}

static void print_bar(unsigned int index, const struct peerbar_bar_info *bar)
{
	printf("    BAR %u  %9s  %s%s%s%s\n", index, out_size(bar->length).text,
	       bar->is_memory ? "memory" : "I/O ports",
	       bar->is_64bit ? ", 64-bit" : bar->is_memory ? ", 32-bit" : "",
	       bar->is_prefetchable ? ", prefetchable" : "",
	       bar->is_memory && !bar->can_mmap ? ", cannot be mapped" : "");
}

static void print_device(const struct peerbar_device_info *info)
{
	out_styled(OUT_BOLD, "%s", info->address);
	printf("  %04x:%04x  %s\n    driver %s", info->vendor, info->device,
	       pci_class_name(info->class_code), *info->driver ? info->driver : "none");
	if (info->iommu_group < 0)
		printf(", no IOMMU group");
	else
		printf(", IOMMU group %d", info->iommu_group);
	if (info->vfio_bound) {
		printf(", ");
		out_styled(OUT_GOOD, "bound");
	}
	putchar('\n');
	for (unsigned int i = 0; i < PEERBAR_NUM_BARS; i++)
		if (info->bars[i].length)
			print_bar(i, &info->bars[i]);
}

static void print_text(const struct cli *cli, const struct peerbar_device_info *infos,
		       size_t count)
{
	size_t shown = 0;

	for (size_t i = 0; i < count; i++) {
		if (!wanted(cli, &infos[i]))
			continue;
		if (shown++)
			putchar('\n');
		print_device(&infos[i]);
	}
	if (!shown)
		printf("no PCI device%s\n", count ? " with a memory BAR; try --all" : "");
}

enum cli_status cmd_devices(struct cli *cli)
{
	struct failure failure = {
		.tried = "cannot list the PCI devices",
		.hint = "peerbar needs /sys mounted, and a machine with PCI",
	};
	struct peerbar_device_info *infos;
	size_t count;
	int ret;

	if (cli_open(cli))
		return CLI_FAILED;
	ret = peerbar_list_devices(cli->pb, &infos, &count);
	if (ret) {
		failure.error = -ret;
		failure_report(cli, &failure);
		return CLI_FAILED;
	}
	if (cli_has(cli, CLI_OPT_JSON))
		print_json(cli, infos, count);
	else
		print_text(cli, infos, count);
	peerbar_free_devices(infos);
	return CLI_OK;
}
