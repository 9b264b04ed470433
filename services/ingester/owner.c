#include "ingester/owner.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/threads.h"
#include "bus/log_admin.h"
#include "ingester/figures.h"

enum {
    LOOK_MS = 200,
    ANNOUNCE_MS = 1000, /* applied sequences */
    SERVE_LAG_MAX = 256,
    LOGS_MS = 10000, /* a look at where the logs begin */
    LOG_CALL_MS = 1000,
};
static const int64_t MS = 1000000;

struct holding {
    struct ing_tenure tenure;
    struct ing_situation situation;  /* of the last look */
    struct ing_partition *partition; /* NULL: closed */
    size_t users;
    struct ing_partition_figures figures;
};

struct ing_owner {
    struct ing_owner_options options;
    struct mrd_member self;
    struct mrd_member_partition *announced; /* memory of the record */
    struct mrd_members *members;
    struct ing_figures figures;
    pthread_t thread;
    struct holding *holdings; /* by partition. The thread changes them; state, partition and users
                               * are guarded by the lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t settled; /* for leave */
    bool look_now;
    bool leaving;
    bool stopping;
    bool handed_over; /* leaving, and nothing is left that others could take */
    int64_t announce_ns;
    int64_t logs_ns;
};

static int64_t now_ns(const struct ing_owner *owner)
{
    return mrd_clock_monotonic_ns(owner->options.clock);
}

static const char *state_name(enum ing_state state)
{
    static const char *const names[] = {"closed", "loading", "serving", "retiring"};
    return names[state];
}

/* ---- what others may do ---- */

enum mrd_status ing_owner_borrow(struct ing_owner *owner, uint32_t partition,
                                 struct ing_partition **out, struct mrd_error *err)
{
    if (partition >= owner->options.partition_count) {
        return mrd_fail(err, MRD_E_INVALID, "partition %" PRIu32 " of %" PRIu32, partition,
                        owner->options.partition_count);
    }
    struct holding *holding = &owner->holdings[partition];
    pthread_mutex_lock(&owner->lock);
    const enum ing_state state = holding->tenure.state;
    const bool answers = state == ING_SERVING || state == ING_RETIRING;
    if (answers) {
        holding->users++;
        *out = holding->partition;
    }
    pthread_mutex_unlock(&owner->lock);
    return answers ? MRD_OK
                   : mrd_fail(err, MRD_E_UNAVAILABLE, "partition %" PRIu32 " is %s on %s",
                              partition, state_name(state), owner->self.instance);
}

void ing_owner_give_back(struct ing_owner *owner, struct ing_partition **partition)
{
    if (*partition == NULL) {
        return;
    }
    struct holding *holding = &owner->holdings[ing_partition_number(*partition)];
    pthread_mutex_lock(&owner->lock);
    mrd_assert(holding->users > 0 && holding->partition == *partition);
    holding->users--;
    pthread_mutex_unlock(&owner->lock);
    *partition = NULL;
}

static void on_members_change(void *context)
{
    struct ing_owner *owner = context;
    pthread_mutex_lock(&owner->lock);
    owner->look_now = true;
    pthread_cond_signal(&owner->wake);
    pthread_mutex_unlock(&owner->lock);
}

/* ---- carrying out decisions (the owner's thread) ---- */

static void set_state(struct ing_owner *owner, uint32_t number, enum ing_state state)
{
    struct holding *holding = &owner->holdings[number];
    pthread_mutex_lock(&owner->lock);
    const enum ing_state before = holding->tenure.state;
    holding->tenure.state = state;
    pthread_mutex_unlock(&owner->lock);
    MRD_LOG_INFO("partition changes state", mrd_log_uint("partition", number),
                 mrd_log_str("from", state_name(before)), mrd_log_str("to", state_name(state)));
}

static bool open_partition(struct ing_owner *owner, uint32_t number)
{
    struct ing_partition_options options = {
        .bus = owner->options.log_bus,
        .store = owner->options.store,
        .window_ms = owner->options.window_ms,
        .clock = owner->options.clock,
    };
    options.store.partition = number;
    struct mrd_error err = {0};
    struct ing_partition *partition = NULL;
    if (ing_partition_create(&options, &partition, &err) != MRD_OK) {
        MRD_LOG_EVERY(1000, MRD_LEVEL_ERROR, "cannot open a partition",
                      mrd_log_uint("partition", number), mrd_log_error(&err));
        return false;
    }
    pthread_mutex_lock(&owner->lock);
    owner->holdings[number].partition = partition;
    pthread_mutex_unlock(&owner->lock);
    set_state(owner, number, ING_LOADING);
    return true;
}

/* False: somebody still has it; tried again at the next look. */
static bool close_partition(struct ing_owner *owner, uint32_t number)
{
    struct holding *holding = &owner->holdings[number];
    pthread_mutex_lock(&owner->lock);
    const bool free_now = holding->users == 0;
    struct ing_partition *partition = NULL;
    if (free_now) {
        partition = MRD_MOVE(holding->partition);
        holding->tenure = (struct ing_tenure){.state = ING_CLOSED};
    }
    pthread_mutex_unlock(&owner->lock);
    if (partition != NULL) {
        struct ing_totals ignored = {0};
        ing_figures_take(&owner->figures, &holding->figures, partition, ING_CLOSED, &ignored);
        ing_figures_closed(&holding->figures);
        ing_partition_destroy(&partition);
        MRD_LOG_INFO("partition closed", mrd_log_uint("partition", number));
    }
    return free_now;
}

static bool is_ready(struct holding *holding)
{
    if (holding->partition == NULL) {
        return false;
    }
    struct ing_partition_progress progress;
    ing_partition_progress(holding->partition, &progress);
    return progress.caught_up && progress.lag <= SERVE_LAG_MAX;
}

/* True if what is announced changes. */
static bool carry_out(struct ing_owner *owner, uint32_t number, enum ing_action action)
{
    struct holding *holding = &owner->holdings[number];
    switch (action) {
    case ING_KEEP:
        return false;
    case ING_OPEN:
        return open_partition(owner, number);
    case ING_SERVE:
        set_state(owner, number, ING_SERVING);
        return true;
    case ING_RETIRE:
        holding->tenure.retired_ns = now_ns(owner);
        set_state(owner, number, ING_RETIRING);
        return true;
    case ING_CLOSE:
        return close_partition(owner, number);
    }
    return false;
}

static size_t count_state(const struct ing_owner *owner, enum ing_state state)
{
    size_t count = 0;
    for (uint32_t i = 0; i < owner->options.partition_count; i++) {
        count += owner->holdings[i].tenure.state == state ? 1 : 0;
    }
    return count;
}

static bool decide_all(struct ing_owner *owner, const struct mrd_members_snapshot *snapshot,
                       bool leaving)
{
    const struct ing_self self = {.instance = owner->self.instance,
                                  .zone = owner->self.zone,
                                  .replicas = owner->options.replicas,
                                  .leaving = leaving};
    bool changed = false;
    size_t loading = count_state(owner, ING_LOADING);
    for (uint32_t i = 0; i < owner->options.partition_count; i++) {
        struct holding *holding = &owner->holdings[i];
        holding->situation = ing_ownership_look(snapshot, &self, i);
        const enum ing_action action = ing_ownership_decide(&holding->tenure, &holding->situation,
                                                            is_ready(holding), now_ns(owner));
        if (action == ING_OPEN) {
            if (owner->options.loads_max > 0 && loading >= owner->options.loads_max) {
                continue;
            }
            loading++;
        }
        changed = carry_out(owner, i, action) || changed;
    }
    return changed;
}

/* ---- telling ---- */

static enum mrd_partition_state announced_state(enum ing_state state)
{
    return state == ING_SERVING   ? MRD_PARTITION_SERVING
           : state == ING_LOADING ? MRD_PARTITION_LOADING
                                  : MRD_PARTITION_NONE;
}

static void announce(struct ing_owner *owner, bool leaving)
{
    size_t count = 0;
    for (uint32_t i = 0; i < owner->options.partition_count; i++) {
        struct holding *holding = &owner->holdings[i];
        const enum mrd_partition_state state = announced_state(holding->tenure.state);
        if (state != MRD_PARTITION_NONE) {
            struct ing_partition_progress progress;
            ing_partition_progress(holding->partition, &progress);
            owner->announced[count++] =
                (struct mrd_member_partition){.partition = i,
                                              .state = state,
                                              .sequence = progress.applied,
                                              .sequence_first = progress.sequence_first,
                                              .log = progress.log};
        }
    }
    owner->self.leaving = leaving;
    owner->self.partitions = owner->announced;
    owner->self.partition_count = count;
    mrd_members_update(owner->members, &owner->self);
    owner->announce_ns = now_ns(owner) + ANNOUNCE_MS * MS;
}

static void publish_figures(struct ing_owner *owner)
{
    struct ing_totals totals = {0};
    for (uint32_t i = 0; i < owner->options.partition_count; i++) {
        struct holding *holding = &owner->holdings[i];
        if (holding->partition != NULL) {
            ing_figures_take(&owner->figures, &holding->figures, holding->partition,
                             (int)holding->tenure.state, &totals);
        }
    }
    ing_figures_publish(&owner->figures, &totals, owner->options.store.budget->limit);
}

static void tell_ready(struct ing_owner *owner, bool settled)
{
    char reason[128] = "";
    size_t missing = 0;
    for (uint32_t i = 0; i < owner->options.partition_count; i++) {
        const struct holding *holding = &owner->holdings[i];
        struct ing_partition_progress progress = {0};
        if (holding->partition != NULL) {
            ing_partition_progress(holding->partition, &progress);
        }
        if (progress.over_budget) {
            snprintf(reason, sizeof(reason), "partition %" PRIu32 " is out of memory budget", i);
        }
        missing += holding->situation.owner && holding->tenure.state != ING_SERVING ? 1 : 0;
    }
    if (!settled) {
        snprintf(reason, sizeof(reason), "looking for the other ingesters");
    } else if (missing > 0) {
        snprintf(reason, sizeof(reason), "%zu partitions are not loaded yet", missing);
    }
    if (owner->options.on_ready != NULL) {
        owner->options.on_ready(owner->options.context, reason[0] == '\0',
                                reason[0] == '\0' ? NULL : reason);
    }
}

/* Leaving: is there anything that others could still take from us? */
static bool nothing_to_hand_over(const struct ing_owner *owner)
{
    for (uint32_t i = 0; i < owner->options.partition_count; i++) {
        const struct holding *holding = &owner->holdings[i];
        if (holding->tenure.state != ING_CLOSED && holding->situation.others) {
            return false;
        }
    }
    return true;
}

/* Tells the partitions where their logs begin now. Without an answer it is tried again at the next time. */
static void look_at_logs(struct ing_owner *owner)
{
    if (now_ns(owner) < owner->logs_ns) {
        return;
    }
    owner->logs_ns = now_ns(owner) + LOGS_MS * MS;
    for (uint32_t i = 0; i < owner->options.partition_count; i++) {
        struct ing_partition *partition = owner->holdings[i].partition;
        struct mrd_log_state log;
        struct mrd_error ignored;
        if (partition == NULL) {
            continue;
        }
        if (mrd_log_state_read(owner->options.log_bus, i, LOG_CALL_MS, &log, &ignored) != MRD_OK) {
            return; /* NATS is away: nothing is trimmed meanwhile, and others' matters do not wait */
        }
        ing_partition_log(partition, &log);
    }
}

static void look(struct ing_owner *owner, bool leaving)
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(owner->members);
    const bool settled = snapshot->settled;
    const bool changed = settled && decide_all(owner, snapshot, leaving);
    mrd_members_release(&snapshot);
    if (changed || owner->self.leaving != leaving || now_ns(owner) >= owner->announce_ns) {
        announce(owner, leaving);
    }
    look_at_logs(owner);
    publish_figures(owner);
    tell_ready(owner, settled);
    if (leaving) {
        const bool done = nothing_to_hand_over(owner);
        pthread_mutex_lock(&owner->lock);
        owner->handed_over = done;
        pthread_cond_broadcast(&owner->settled);
        pthread_mutex_unlock(&owner->lock);
    }
}

static void *owner_run(void *context)
{
    struct ing_owner *owner = context;
    pthread_mutex_lock(&owner->lock);
    while (!owner->stopping) {
        const bool leaving = owner->leaving;
        owner->look_now = false;
        pthread_mutex_unlock(&owner->lock);
        look(owner, leaving);
        pthread_mutex_lock(&owner->lock);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * MS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int waited = 0;
        while (!owner->look_now && !owner->stopping && waited == 0) {
            waited = pthread_cond_timedwait(&owner->wake, &owner->lock, &until);
        }
    }
    pthread_mutex_unlock(&owner->lock);
    return NULL;
}

/* ---- life ---- */

static struct ing_owner *owner_alloc(const struct ing_owner_options *options)
{
    struct ing_owner *owner = calloc(1, sizeof(*owner));
    mrd_assert(owner != NULL);
    owner->options = *options;
    owner->self = *options->self;
    owner->holdings = calloc(options->partition_count, sizeof(*owner->holdings));
    owner->announced = calloc(options->partition_count, sizeof(*owner->announced));
    mrd_assert(owner->holdings != NULL && owner->announced != NULL);
    pthread_mutex_init(&owner->lock, NULL);
    mrd_cond_init(&owner->wake);
    mrd_cond_init(&owner->settled);
    ing_figures_init(&owner->figures, options->metrics);
    return owner;
}

static void owner_free(struct ing_owner *owner)
{
    pthread_cond_destroy(&owner->settled);
    pthread_cond_destroy(&owner->wake);
    pthread_mutex_destroy(&owner->lock);
    free(owner->announced);
    free(owner->holdings);
    free(owner);
}

enum mrd_status ing_owner_create(const struct ing_owner_options *options,
                                 struct ing_owner **out_owner, struct mrd_error *err)
{
    struct ing_owner *owner = owner_alloc(options);
    const struct mrd_members_options members = {
        .self = &owner->self, .on_change = on_members_change, .context = owner};
    const enum mrd_status status =
        mrd_members_create(options->members_bus, &members, &owner->members, err);
    if (status != MRD_OK) {
        owner_free(owner);
        return status;
    }
    mrd_assert(pthread_create(&owner->thread, NULL, owner_run, owner) == 0);
    *out_owner = owner;
    return MRD_OK;
}

void ing_owner_leave(struct ing_owner *owner, mrd_time_ms grace_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += grace_ms / 1000;
    int waited = 0;
    pthread_mutex_lock(&owner->lock);
    owner->leaving = true;
    owner->handed_over = false;
    owner->look_now = true;
    pthread_cond_signal(&owner->wake);
    while (!owner->handed_over && waited == 0) {
        waited = pthread_cond_timedwait(&owner->settled, &owner->lock, &until);
    }
    pthread_mutex_unlock(&owner->lock);
}

void ing_owner_destroy(struct ing_owner **owner)
{
    if (*owner == NULL) {
        return;
    }
    struct ing_owner *self = MRD_MOVE(*owner);
    pthread_mutex_lock(&self->lock);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    mrd_members_destroy(&self->members); /* says goodbye, so nobody asks any more */
    for (uint32_t i = 0; i < self->options.partition_count; i++) {
        mrd_assert(self->holdings[i].users == 0);
        ing_partition_destroy(&self->holdings[i].partition);
    }
    owner_free(self);
}
