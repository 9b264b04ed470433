#include "compactor/periodic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_SIZE = 64, RECORD_SIZE_MAX = 64, LOOK_MS = 60 * 1000 };

mrd_time_ms cmp_periodic_look_ms(const struct cmp_periodic *periodic)
{
    return periodic->interval_ms == 0 ? LOOK_MS
                                      : MRD_MIN(periodic->interval_ms, (mrd_time_ms)LOOK_MS);
}

void cmp_periodic_want(struct cmp_periodic *periodic)
{
    atomic_store_explicit(&periodic->wanted, true, memory_order_relaxed);
}

/* 0: never, or nobody can say. */
static enum mrd_status last_end(const struct cmp_environment *environment, const char *key,
                                mrd_time_ms *out, struct mrd_error *err)
{
    mrd_auto(mrd_buf_fini)
    struct mrd_buf text = {0};
    const enum mrd_status status = mrd_objstore_get(environment->store, key, RECORD_SIZE_MAX,
                                                    &environment->control, &text, err);
    *out = 0;
    if (status == MRD_E_NOT_FOUND || status == MRD_E_LIMIT) {
        return MRD_OK;
    }
    MRD_TRY(status);
    mrd_buf_append_u8(&text, 0);
    *out = (mrd_time_ms)strtoll((const char *)text.data, NULL, 10);
    return MRD_OK;
}

static enum mrd_status is_due(struct cmp_periodic *periodic,
                              const struct cmp_environment *environment, const char *key, bool *out,
                              struct mrd_error *err)
{
    mrd_time_ms last_ms = 0;
    *out = atomic_load_explicit(&periodic->wanted, memory_order_relaxed);
    if (*out || periodic->interval_ms == 0) {
        return MRD_OK;
    }
    MRD_TRY(last_end(environment, key, &last_ms, err));
    const mrd_time_ms now_ms = mrd_clock_now_ms(environment->clock);
    *out = last_ms > now_ms || now_ms - last_ms >= periodic->interval_ms;
    return MRD_OK;
}

enum mrd_status
cmp_periodic_run(struct cmp_periodic *periodic, const struct cmp_environment *environment,
                 enum mrd_status (*work)(void *context, const struct cmp_environment *environment,
                                         struct mrd_error *err),
                 void *context, struct mrd_error *err)
{
    char key[KEY_SIZE];
    char text[RECORD_SIZE_MAX];
    bool due = false;
    struct mrd_lease *lease = NULL;
    (void)snprintf(key, sizeof(key), "upkeep/%s", periodic->name);
    MRD_TRY(is_due(periodic, environment, key, &due, err));
    if (!due) {
        return MRD_OK;
    }
    MRD_TRY(mrd_lease_try(environment->leases, periodic->name, &lease, err));
    if (lease == NULL) {
        return MRD_OK; /* another is at it */
    }
    const bool wanted = atomic_exchange_explicit(&periodic->wanted, false, memory_order_relaxed);
    enum mrd_status status =
        is_due(periodic, environment, key, &due, err); /* it may be done by now */
    if (status == MRD_OK && (due || wanted)) {
        status = work(context, environment, err);
    }
    if (status == MRD_OK && (due || wanted)) {
        (void)snprintf(text, sizeof(text), "%" PRId64, mrd_clock_now_ms(environment->clock));
        status = mrd_objstore_put(environment->store, key, mrd_bytes_of(text),
                                  &environment->control, err);
    }
    mrd_lease_release(&lease);
    if (status != MRD_OK && wanted) {
        cmp_periodic_want(periodic);
    }
    return status;
}
