/* Samples that the head can not decide: the list of those that wait for a verdict, and what the verdict does.
 * Their marks stand among the late samples of their series (late.c). */
#include "head/head_internal.h"

bool head_contested_add(struct mrd_head *head, uint32_t ordinal, mrd_time_ms time_ms)
{
    struct head_contested_list *list = &head->contested;
    if (list->count == HEAD_CONTESTED_MAX) {
        return false;
    }
    if (list->count == list->capacity) {
        const size_t capacity = MRD_MAX(list->capacity * 2, (size_t)16);
        list->items = reallocarray(list->items, capacity, sizeof(list->items[0]));
        mrd_assert(list->items != NULL);
        head->arrays_bytes += (capacity - list->capacity) * sizeof(list->items[0]);
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct head_contested_key){time_ms, ordinal};
    return true;
}

size_t mrd_head_contested_count(const struct mrd_head *head) { return head->mark_count; }

void mrd_head_contested_stats(const struct mrd_head *head, struct mrd_head_contested_stats *out)
{
    *out = head->contested_stats;
}

static struct head_late *mark_find(const struct mrd_head *head, uint32_t ordinal,
                                   mrd_time_ms time_ms)
{
    if ((head_hot(head, ordinal)->open.owner_flags & HOT_LIVE) == 0) {
        return NULL;
    }
    struct head_late *item = head_late_find(head, ordinal, time_ms);
    return item != NULL && head_late_is_mark(item) ? item : NULL;
}

size_t mrd_head_contested_take(struct mrd_head *head, struct mrd_head_contested *out, size_t max)
{
    struct head_contested_list *list = &head->contested;
    size_t taken = 0;
    while (list->count > 0 && taken < max) {
        const struct head_contested_key key = list->items[--list->count];
        struct head_late *mark = mark_find(head, key.ordinal, key.time_ms);
        if (mark != NULL && mark->kind == LATE_CONTESTED) { /* else it was decided or dropped */
            mark->kind = LATE_TAKEN;
            out[taken++] = (struct mrd_head_contested){head_series(head, key.ordinal)->id,
                                                       key.ordinal, key.time_ms};
        }
    }
    return taken;
}

static void wait_again(struct mrd_head *head, const struct mrd_head_contested *sample,
                       struct head_late *mark)
{
    if (head_contested_add(head, sample->ordinal, sample->time_ms)) {
        mark->kind = LATE_CONTESTED;
    } else {
        head_late_unmark(head, sample->ordinal, mark);
        head->contested_stats.dropped++;
    }
}

/* The mark of a sample that was taken. NULL: decided or dropped meanwhile, or another series has the
 * ordinal now. */
static struct head_late *taken_find(const struct mrd_head *head,
                                    const struct mrd_head_contested *sample)
{
    struct head_late *mark = mark_find(head, sample->ordinal, sample->time_ms);
    const bool taken = mark != NULL && mark->kind != LATE_CONTESTED &&
                       mrd_id128_equal(head_series(head, sample->ordinal)->id, sample->id);
    return taken ? mark : NULL;
}

void mrd_head_settle(struct mrd_head *head, const struct mrd_head_contested *sample,
                     const struct mrd_head_verdict *verdict)
{
    struct head_late *mark = taken_find(head, sample);
    if (mark == NULL) {
        return;
    }
    if (mark->kind == LATE_DOUBTED || verdict == NULL) {
        wait_again(head, sample, mark);
        return;
    }
    head_late_make_room(head, sample->ordinal);
    mark = taken_find(head, sample); /* it may have moved */
    mrd_assert(mark != NULL);
    struct head_late_block *block = head_at(head, head_series(head, sample->ordinal)->late);
    head_late_mark_gone(head, block);
    const struct head_late to = {sample->time_ms, mrd_double_bits(verdict->value), verdict->hlc,
                                 verdict->origin, LATE_OVERRIDE};
    head_late_assign(head, sample->ordinal, mark, &to, verdict->start_ms);
    head->contested_stats.settled++;
}

void mrd_head_contested_forget(struct mrd_head *head, const struct mrd_head_contested *sample)
{
    struct head_late *mark = taken_find(head, sample);
    if (mark == NULL) {
        return;
    }
    if (mark->kind == LATE_DOUBTED) {
        wait_again(head, sample, mark);
        return;
    }
    head_late_unmark(head, sample->ordinal, mark);
    head->contested_stats.settled++;
}
