// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CONFIG_PTDUMP_DEBUGFS would provide: debugfs' page_tables/current_kernel,
 * with the page tables of whoever reads it, as far as tests want to see them.
 * These are the mappings of device memory, for x86.
 */
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

static struct dentry *folder;

/* A line for the entry that maps this address, if there is one. Returns where the next entry begins. */
static unsigned long show_entry(struct seq_file *s, struct vm_area_struct *vma, unsigned long address)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = address };
	unsigned long start, end, bits;

	if (follow_pfnmap_start(&args))
		return address + PAGE_SIZE;
	start = address & args.addr_mask;
	end = start + ~args.addr_mask + 1;
	bits = pgprot_val(args.addr_mask == PAGE_MASK ? args.pgprot : pgprot_large_2_4k(args.pgprot));
	follow_pfnmap_end(&args);

	seq_printf(s, "0x%016lx-0x%016lx %luK %s%s%s%s\n", start, end, (end - start) >> 10,
		   bits & _PAGE_RW ? "RW" : "ro", bits & _PAGE_PWT ? " PWT" : "",
		   bits & _PAGE_PCD ? " PCD" : "", bits & _PAGE_PAT ? " PAT" : "");
	return end;
}

static int current_kernel_show(struct seq_file *s, void *unused)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long address;

	mmap_read_lock(mm);
	for (vma = find_vma(mm, 0); vma; vma = find_vma(mm, vma->vm_end)) {
		if (!(vma->vm_flags & VM_PFNMAP))
			continue;
		for (address = vma->vm_start; address < vma->vm_end && !seq_has_overflowed(s);)
			address = show_entry(s, vma, address);
	}
	mmap_read_unlock(mm);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(current_kernel);

static int __init peerbar_ptdump_init(void)
{
	folder = debugfs_create_dir("page_tables", NULL);
	debugfs_create_file("current_kernel", 0400, folder, NULL, &current_kernel_fops);
	return 0;
}
module_init(peerbar_ptdump_init);

static void __exit peerbar_ptdump_exit(void)
{
	debugfs_remove(folder);
}
module_exit(peerbar_ptdump_exit);

MODULE_DESCRIPTION("Shows how device memory is mapped, for tests");
MODULE_LICENSE("GPL");
