// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* An AVL tree; recursion is as deep as the tree is high, 1.44 log2 n at most. */
#include "iovatree.h"
#include "util.h"

static unsigned int height(const struct pb_iova_area *area)
{
	return area ? area->height : 0;
}

static void update(struct pb_iova_area *area)
{
	const struct pb_iova_area *left = area->left, *right = area->right;

	area->height = 1 + PB_MAX(height(left), height(right));
	area->low = left ? left->low : area->start;
	area->high = right ? right->high : area->last;
	area->gap = 0;
	if (left)
		area->gap = PB_MAX(left->gap, area->start - left->high - 1);
	if (right)
		area->gap = PB_MAX(area->gap, PB_MAX(right->gap, right->low - area->last - 1));
}

static void rotate_right(struct pb_iova_area **link)
{
	struct pb_iova_area *top = *link, *left = top->left;

	top->left = left->right;
	left->right = top;
	update(top);
	update(left);
	*link = left;
}

static void rotate_left(struct pb_iova_area **link)
{
	struct pb_iova_area *top = *link, *right = top->right;

	top->right = right->left;
	right->left = top;
	update(top);
	update(right);
	*link = right;
}

/* After one of the subtrees became one higher or lower. */
static void rebalance(struct pb_iova_area **link)
{
	struct pb_iova_area *area = *link;

	if (height(area->left) > height(area->right) + 1) {
		if (height(area->left->left) < height(area->left->right))
			rotate_left(&area->left);
		rotate_right(link);
	} else if (height(area->right) > height(area->left) + 1) {
		if (height(area->right->right) < height(area->right->left))
			rotate_right(&area->right);
		rotate_left(link);
	} else {
		update(area);
	}
}

void pb_iova_tree_insert(struct pb_iova_area **root, struct pb_iova_area *area)
{
	if (!*root) {
		area->left = area->right = NULL;
		update(area);
		*root = area;
		return;
	}
	pb_iova_tree_insert(area->start < (*root)->start ? &(*root)->left : &(*root)->right, area);
	rebalance(root);
}

static struct pb_iova_area *take_lowest(struct pb_iova_area **root)
{
	struct pb_iova_area *lowest = *root;

	if (!lowest->left) {
		*root = lowest->right;
		return lowest;
	}
	lowest = take_lowest(&(*root)->left);
	rebalance(root);
	return lowest;
}

void pb_iova_tree_remove(struct pb_iova_area **root, const struct pb_iova_area *area)
{
	struct pb_iova_area *next;

	if (area->start < (*root)->start) {
		pb_iova_tree_remove(&(*root)->left, area);
	} else if (area->start > (*root)->start) {
		pb_iova_tree_remove(&(*root)->right, area);
	} else if (!area->left || !area->right) {
		*root = area->left ? area->left : area->right;
		return;
	} else {
		next = take_lowest(&(*root)->right);
		next->left = (*root)->left;
		next->right = (*root)->right;
		*root = next;
	}
	rebalance(root);
}

bool pb_iova_tree_overlaps(const struct pb_iova_area *root, uint64_t start, uint64_t last)
{
	while (root) {
		if (last < root->start)
			root = root->left;
		else if (start > root->last)
			root = root->right;
		else
			return true;
	}
	return false;
}

struct search {
	const struct pb_iova_request *request;
	uint64_t need; /* smaller holes are not looked at */
	unsigned int tries;
	uint64_t start;
};

/* [low, high] is free. */
static bool try_hole(struct search *search, uint64_t low, uint64_t high)
{
	const struct pb_iova_request *request = search->request;
	uint64_t at = pb_congruent_up(low, request->congruence, request->align);

	search->tries--;
	search->start = at;
	return at >= low && at <= high && high - at >= request->length - 1;
}

/* No hole between what is below @area and within [low, high] is longer. */
static uint64_t longest_hole(const struct pb_iova_area *area, uint64_t low, uint64_t high)
{
	uint64_t longest = area->gap;

	if (area->low > low)
		longest = PB_MAX(longest, area->low - low);
	if (area->high < high)
		longest = PB_MAX(longest, high - area->high);
	return longest;
}

/* Of the tree below @area only what is in [low, high] counts. */
static bool find_below(const struct pb_iova_area *area, uint64_t low, uint64_t high,
		       struct search *search)
{
	if (low > high || high - low < search->need - 1 || !search->tries)
		return false;
	if (!area)
		return try_hole(search, low, high);
	if (area->last < low)
		return find_below(area->right, low, high, search);
	if (area->start > high)
		return find_below(area->left, low, high, search);
	if (longest_hole(area, low, high) < search->need)
		return false;
	if (area->start > low && find_below(area->left, low, area->start - 1, search))
		return true;
	return area->last < high && find_below(area->right, area->last + 1, high, search);
}

bool pb_iova_tree_find(const struct pb_iova_area *root, uint64_t low, uint64_t high,
		       const struct pb_iova_request *request, uint64_t *start)
{
	struct search search = {request, request->length, 32, 0};
	bool found = find_below(root, low, high, &search);

	/* Holes of the length there are, but unaligned: one that fits for sure. */
	if (!found && !search.tries &&
	    !__builtin_add_overflow(request->length, request->align - 1, &search.need)) {
		search.tries = -1u;
		found = find_below(root, low, high, &search);
	}
	if (found)
		*start = search.start;
	return found;
}
