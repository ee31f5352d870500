/* list.h - a doubly linked ring with its head in the owner: order of sending, of expiry, of
 * membership. */
#pragma once

#include "base.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *e)
{
	e->prev = head->prev;
	e->next = head;
	head->prev->next = e;
	head->prev = e;
}

static inline void list_add_head(struct list *head, struct list *e)
{
	list_add_tail(head->next, e);
}

/* Leaves `e` empty, so that deleting twice does no harm. */
static inline void list_del(struct list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	list_init(e);
}

/* From wherever it stands. */
static inline void list_move_tail(struct list *head, struct list *e)
{
	list_del(e);
	list_add_tail(head, e);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_for_each_safe(pos, tmp, head)                                                         \
	for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head);                     \
		pos = tmp, tmp = pos->next)
