/* Many puts: some requests at a time, each with attempts of its own. */
#include <stdlib.h>

#include "objstore/s3_internal.h"

enum { GROUP = 64 /* objects at a time: bounds the memory of a call */ };

struct group {
    struct s3_call calls[GROUP];
    const struct mrd_objstore_item *items[GROUP]; /* of each call: those that are not stored yet */
    size_t count;
};

/* Leaves those whose calls have not come to a good end; `known` is stored too. Their calls are made anew. */
static void keep_unstored(struct group *group, const struct s3_call *known)
{
    size_t kept = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct s3_call *call = &group->calls[i];
        const bool stored = call == known || (call->state == CALL_DONE && call->status == MRD_OK);
        if (!stored) {
            group->items[kept++] = group->items[i];
        }
        s3_call_fini(call);
    }
    group->count = kept;
}

static const struct s3_call *find_conflict(const struct group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        if (group->calls[i].state == CALL_DONE && group->calls[i].status == MRD_E_CONFLICT) {
            return &group->calls[i];
        }
    }
    return NULL;
}

static enum mrd_status check_done(const struct group *group, struct mrd_error *err)
{
    for (size_t i = 0; i < group->count; i++) {
        if (group->calls[i].state == CALL_DONE && group->calls[i].status == MRD_OK) {
            MRD_TRY(s3_check_stored(&group->calls[i], err));
        }
    }
    return MRD_OK;
}

/* One exchange, which ends with the first object that is there already: if it is ours, the rest goes on in the next. */
static enum mrd_status put_some(struct s3 *s3, struct group *group,
                                const struct mrd_objstore_control *control, struct mrd_error *err)
{
    for (size_t i = 0; i < group->count; i++) {
        s3_call_item(s3, &group->calls[i], group->items[i]);
    }
    const enum mrd_status status =
        s3_exchange(s3, group->calls, group->count, s3->ranges_max, control, err);
    const struct s3_call *conflict = status == MRD_E_CONFLICT ? find_conflict(group) : NULL;
    enum mrd_status result = status == MRD_OK || conflict != NULL ? check_done(group, err) : status;
    if (result == MRD_OK && conflict != NULL) {
        result = s3_compare(&s3->base, conflict->key, group->items[conflict - group->calls]->bytes,
                            control, err);
    }
    keep_unstored(group, conflict);
    return result;
}

enum mrd_status s3_put_many(struct mrd_objstore *base, const struct mrd_objstore_item *items,
                            size_t item_count, const struct mrd_objstore_control *control,
                            struct mrd_error *err)
{
    struct group *group = calloc(1, sizeof(*group));
    mrd_assert(group != NULL);
    enum mrd_status status = MRD_OK;
    for (size_t at = 0; status == MRD_OK && (at < item_count || group->count > 0);) {
        while (group->count < GROUP && at < item_count) {
            group->items[group->count++] = &items[at++];
        }
        status = put_some(s3_of(base), group, control, err);
    }
    free(group);
    return status;
}
