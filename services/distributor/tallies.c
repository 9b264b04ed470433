#include "distributor/tallies.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"

enum { SLOTS_MIN = 64 };
static const int64_t MS = 1000000;

/* Introductions are numbered through, from 0: `allowed` is the number of the first that may not be taken without asking. */
struct dst_tally {
    char tenant[MRD_TENANT_SIZE_MAX];
    uint8_t tenant_size;
    uint32_t users;
    _Atomic uint64_t introduced; /* relaxed, as `allowed`: a bound, not a lock */
    _Atomic uint64_t allowed;    /* UINT64_MAX: all are */
    _Atomic int64_t waiting_bytes;
    uint64_t limit;
    uint64_t counted; /* by the ingesters */
    uint64_t settled; /* introductions that are among them */
    uint32_t distributors;
    int64_t lease_until_ns; /* 0: never asked */
    int64_t open_until_ns;
    int64_t slot_ns;      /* since when introductions stand in the present slot */
    uint64_t slot_total;  /* those before it */
    uint64_t older_total; /* those before the slot before it */
};

struct dst_tallies {
    const struct mrd_clock *clock;
    pthread_mutex_t lock;     /* guards all below, and what is not atomic of the tallies */
    struct dst_tally **slots; /* by tenant; NULL: free */
    size_t capacity;          /* a power of two */
    size_t count;
};

static int64_t now_ns(const struct dst_tallies *tallies)
{
    return mrd_clock_monotonic_ns(tallies->clock);
}

static uint64_t introduced_of(const struct dst_tally *tally)
{
    return atomic_load_explicit(&tally->introduced, memory_order_relaxed);
}

/* ---- the table ---- */

static void slots_make(struct dst_tallies *tallies, size_t capacity)
{
    tallies->slots = calloc(capacity, sizeof(*tallies->slots));
    mrd_assert(tallies->slots != NULL);
    tallies->capacity = capacity;
    tallies->count = 0;
}

struct dst_tallies *dst_tallies_create(const struct mrd_clock *clock)
{
    struct dst_tallies *tallies = calloc(1, sizeof(*tallies));
    mrd_assert(tallies != NULL);
    tallies->clock = clock;
    pthread_mutex_init(&tallies->lock, NULL);
    slots_make(tallies, SLOTS_MIN);
    return tallies;
}

void dst_tallies_destroy(struct dst_tallies **tallies)
{
    if (*tallies == NULL) {
        return;
    }
    for (size_t i = 0; i < (*tallies)->capacity; i++) {
        free((*tallies)->slots[i]);
    }
    free((*tallies)->slots);
    pthread_mutex_destroy(&(*tallies)->lock);
    free(*tallies);
    *tallies = NULL;
}

static struct mrd_bytes name_of(const struct dst_tally *tally)
{
    return (struct mrd_bytes){(const uint8_t *)tally->tenant, tally->tenant_size};
}

static struct dst_tally **find_slot(const struct dst_tallies *tallies, struct mrd_bytes tenant)
{
    const size_t mask = tallies->capacity - 1;
    size_t at = mrd_hash64(tenant, 0) & mask;
    while (tallies->slots[at] != NULL && !mrd_bytes_equal(name_of(tallies->slots[at]), tenant)) {
        at = (at + 1) & mask;
    }
    return &tallies->slots[at];
}

/* A new one would ask, too. */
static bool is_idle(const struct dst_tally *tally, int64_t now)
{
    return tally->users == 0 && now >= tally->lease_until_ns && now >= tally->open_until_ns;
}

/* Forgets those that are idle and doubles if most are not. */
static void make_room(struct dst_tallies *tallies, int64_t now)
{
    struct dst_tally **old = tallies->slots;
    const size_t old_capacity = tallies->capacity;
    size_t needed = 0;
    for (size_t i = 0; i < old_capacity; i++) {
        needed += old[i] != NULL && !is_idle(old[i], now);
    }
    slots_make(tallies, needed * 2 < old_capacity ? old_capacity : old_capacity * 2);
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i] != NULL && is_idle(old[i], now)) {
            free(old[i]);
        } else if (old[i] != NULL) {
            *find_slot(tallies, name_of(old[i])) = old[i];
            tallies->count++;
        }
    }
    free(old);
}

static struct dst_tally *tally_add(struct dst_tallies *tallies, struct mrd_bytes tenant,
                                   int64_t now)
{
    if ((tallies->count + 1) * 4 > tallies->capacity * 3) {
        make_room(tallies, now);
    }
    struct dst_tally *tally = calloc(1, sizeof(*tally));
    mrd_assert(tally != NULL);
    mrd_assert(tenant.size > 0 && tenant.size <= MRD_TENANT_SIZE_MAX);
    memcpy(tally->tenant, tenant.data, tenant.size);
    tally->tenant_size = (uint8_t)tenant.size;
    tally->slot_ns = now;
    tally->distributors = 1;
    *find_slot(tallies, tenant) = tally;
    tallies->count++;
    return tally;
}

/* ---- what may be introduced; lock held ---- */

static void slots_roll(struct dst_tally *tally, int64_t now)
{
    const int64_t age_ns = now - tally->slot_ns;
    if (age_ns >= DST_TALLY_SETTLE_MS * MS) {
        const bool long_ago = age_ns >= 3 * DST_TALLY_SETTLE_MS * MS;
        tally->older_total = long_ago ? introduced_of(tally) : tally->slot_total;
        tally->slot_total = introduced_of(tally);
        tally->slot_ns = now;
    }
}

static uint64_t left_of(const struct dst_tally *tally)
{
    return tally->limit > tally->counted ? tally->limit - tally->counted : 0;
}

static void allow(struct dst_tally *tally, int64_t now)
{
    const uint64_t share = (left_of(tally) + tally->distributors - 1) / tally->distributors;
    const uint64_t allowed = now < tally->open_until_ns    ? UINT64_MAX
                             : now < tally->lease_until_ns ? tally->settled + share
                                                           : 0;
    atomic_store_explicit(&tally->allowed, allowed, memory_order_relaxed);
}

struct dst_tally *dst_tallies_borrow(struct dst_tallies *tallies, struct mrd_bytes tenant,
                                     uint64_t limit)
{
    const int64_t now = now_ns(tallies);
    pthread_mutex_lock(&tallies->lock);
    struct dst_tally *tally = *find_slot(tallies, tenant);
    if (tally == NULL) {
        tally = tally_add(tallies, tenant, now);
    }
    tally->users++;
    tally->limit = limit;
    slots_roll(tally, now);
    allow(tally, now);
    pthread_mutex_unlock(&tallies->lock);
    return tally;
}

void dst_tallies_give_back(struct dst_tallies *tallies, struct dst_tally **tally)
{
    if (*tally != NULL) {
        pthread_mutex_lock(&tallies->lock);
        mrd_assert((*tally)->users > 0);
        (*tally)->users--;
        pthread_mutex_unlock(&tallies->lock);
        *tally = NULL;
    }
}

enum dst_tally_answer dst_tally_take(struct dst_tally *tally)
{
    const uint64_t allowed = atomic_load_explicit(&tally->allowed, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&tally->introduced, 1, memory_order_relaxed) < allowed) {
        return allowed == UINT64_MAX ? DST_TALLY_UNCHECKED : DST_TALLY_TAKEN;
    }
    atomic_fetch_sub_explicit(&tally->introduced, 1, memory_order_relaxed);
    return DST_TALLY_ASK;
}

uint64_t dst_tally_mark(struct dst_tallies *tallies, struct dst_tally *tally)
{
    pthread_mutex_lock(&tallies->lock);
    slots_roll(tally, now_ns(tallies));
    const uint64_t mark = tally->older_total;
    pthread_mutex_unlock(&tallies->lock);
    return mark;
}

void dst_tally_report(struct dst_tallies *tallies, struct dst_tally *tally,
                      const struct dst_tally_report *report)
{
    const int64_t now = now_ns(tallies);
    pthread_mutex_lock(&tallies->lock);
    tally->counted = report->series;
    tally->settled = report->mark;
    tally->distributors = MRD_MAX(report->distributors, 1U);
    const bool far = report->series < tally->limit / 2;
    tally->lease_until_ns = now + (far ? DST_TALLY_FAR_LEASE_MS : DST_TALLY_LEASE_MS) * MS;
    tally->open_until_ns = 0;
    allow(tally, now);
    pthread_mutex_unlock(&tallies->lock);
}

void dst_tally_open(struct dst_tallies *tallies, struct dst_tally *tally)
{
    const int64_t now = now_ns(tallies);
    pthread_mutex_lock(&tallies->lock);
    tally->open_until_ns = now + DST_TALLY_OPEN_MS * MS;
    allow(tally, now);
    pthread_mutex_unlock(&tallies->lock);
}

uint64_t dst_tally_grant(struct dst_tallies *tallies, struct dst_tally *tally, uint64_t wanted)
{
    pthread_mutex_lock(&tallies->lock);
    const uint64_t introduced =
        introduced_of(tally); /* one that takes may have added and not yet subtracted */
    const uint64_t pending = introduced > tally->settled ? introduced - tally->settled : 0;
    const uint64_t left = left_of(tally);
    const uint64_t granted = MRD_MIN(wanted, left > pending ? left - pending : 0);
    atomic_fetch_add_explicit(&tally->introduced, granted, memory_order_relaxed);
    pthread_mutex_unlock(&tallies->lock);
    return granted;
}

struct dst_tally_state dst_tally_state(struct dst_tallies *tallies, struct dst_tally *tally)
{
    pthread_mutex_lock(&tallies->lock);
    const struct dst_tally_state state = {.series = tally->counted, .limit = tally->limit};
    pthread_mutex_unlock(&tallies->lock);
    return state;
}

bool dst_tally_wait_begin(struct dst_tally *tally, int64_t bytes, int64_t bytes_max)
{
    const int64_t before =
        atomic_fetch_add_explicit(&tally->waiting_bytes, bytes, memory_order_relaxed);
    if (before > 0 && before + bytes > bytes_max) {
        atomic_fetch_sub_explicit(&tally->waiting_bytes, bytes, memory_order_relaxed);
        return false;
    }
    return true;
}

void dst_tally_wait_end(struct dst_tally *tally, int64_t bytes)
{
    atomic_fetch_sub_explicit(&tally->waiting_bytes, bytes, memory_order_relaxed);
}
