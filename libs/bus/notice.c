#include "bus/notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/subscription_internal.h"

static const int64_t MS = 1000000;

enum {
    ASK_MS = 1000, /* for one member's confirmation, before the next is asked */
    AGAIN_MS = 50,
    SUBJECT_MAX = MRD_MEMBER_TEXT_MAX + 32,
    TEXT_MAX = 256,
};

/* A confirmation is this text; anything else says why there is none. */
static const char confirmed_text[] = "+OK";

static const char *subject_of(const char *instance, char out[SUBJECT_MAX])
{
    (void)snprintf(out, SUBJECT_MAX, "mrd.notice.%s", instance);
    return out;
}

/* ---- listening ---- */

struct mrd_notice_listener {
    struct mrd_bus_subscription *subscription;
    mrd_on_notice *on_notice;
    void *context;
};

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *context)
{
    (void)subscription;
    struct mrd_notice_listener *listener = context;
    struct mrd_error err = {0};
    const struct mrd_bytes bytes = {(const uint8_t *)natsMsg_GetData(message),
                                    (size_t)natsMsg_GetDataLength(message)};
    const char *reply = natsMsg_GetReply(message);
    const enum mrd_status status = listener->on_notice(listener->context, bytes, &err);
    if (reply != NULL) {
        /* A confirmation that is lost is asked for again. */
        (void)natsConnection_PublishString(connection, reply,
                                           status == MRD_OK ? confirmed_text : err.text);
    }
    natsMsg_Destroy(message);
}

enum mrd_status mrd_notice_listen(struct mrd_bus *bus, const char *instance,
                                  mrd_on_notice *on_notice, void *context,
                                  struct mrd_notice_listener **out_listener, struct mrd_error *err)
{
    if (!mrd_bus_token_valid(instance, MRD_MEMBER_TEXT_MAX)) {
        return mrd_fail(err, MRD_E_INVALID,
                        "instance name \"%s\": 1 to 63 letters, digits, '-' or '_'", instance);
    }
    struct mrd_notice_listener *listener = calloc(1, sizeof(*listener));
    mrd_assert(listener != NULL);
    *listener = (struct mrd_notice_listener){.on_notice = on_notice, .context = context};
    char subject[SUBJECT_MAX];
    const enum mrd_status status = mrd_bus_subscribe(bus, subject_of(instance, subject), on_message,
                                                     listener, &listener->subscription, err);
    if (status != MRD_OK) {
        free(listener);
        return status;
    }
    *out_listener = listener;
    return MRD_OK;
}

void mrd_notice_unlisten(struct mrd_notice_listener **listener)
{
    if (*listener != NULL) {
        mrd_bus_unsubscribe(&(*listener)->subscription);
        free(*listener);
        *listener = NULL;
    }
}

/* ---- telling ---- */

/* A process that has confirmed: a restart under its name has not. */
struct confirmed {
    char instance[MRD_MEMBER_TEXT_MAX];
    uint64_t incarnation;
};

struct round {
    struct mrd_bus *bus;
    const struct mrd_notice *notice;
    struct confirmed *confirmed;
    size_t confirmed_count;
    size_t missing;                /* in the present round */
    char who[MRD_MEMBER_TEXT_MAX]; /* one of them, and what it said */
    char text[TEXT_MAX];
};

static int64_t now_ns(void) { return mrd_clock_monotonic_ns(mrd_clock_system()); }

static bool has_confirmed(const struct round *round, const struct mrd_member *member)
{
    for (size_t i = 0; i < round->confirmed_count; i++) {
        if (round->confirmed[i].incarnation == member->incarnation &&
            strcmp(round->confirmed[i].instance, member->instance) == 0) {
            return true;
        }
    }
    return false;
}

static void note_confirmed(struct round *round, const struct mrd_member *member)
{
    round->confirmed =
        reallocarray(round->confirmed, round->confirmed_count + 1, sizeof(*round->confirmed));
    mrd_assert(round->confirmed != NULL);
    struct confirmed *item = &round->confirmed[round->confirmed_count++];
    (void)snprintf(item->instance, sizeof(item->instance), "%s", member->instance);
    item->incarnation = member->incarnation;
}

/* Asks one member; true if it confirms, else *text says what came instead. */
static bool ask(const struct round *round, const char *instance, char text[TEXT_MAX])
{
    const struct mrd_notice *notice = round->notice;
    char subject[SUBJECT_MAX];
    natsMsg *reply = NULL;
    const int64_t left_ms = MRD_MAX((notice->deadline_ns - now_ns()) / MS, (int64_t)1);
    const natsStatus status = natsConnection_Request(
        &reply, mrd_bus_nats(round->bus), subject_of(instance, subject), notice->bytes.data,
        (int)notice->bytes.size, MRD_MIN(left_ms, (int64_t)ASK_MS));
    if (status != NATS_OK) {
        (void)snprintf(text, TEXT_MAX, "%s", natsStatus_GetText(status));
        return false;
    }
    (void)snprintf(text, TEXT_MAX, "%.*s", natsMsg_GetDataLength(reply), natsMsg_GetData(reply));
    natsMsg_Destroy(reply);
    return strcmp(text, confirmed_text) == 0;
}

static bool must_know(const struct round *round, const struct mrd_member *member)
{
    return (round->notice->kinds & MRD_NOTICE_TO(member->kind)) != 0 &&
           (round->notice->except == NULL ||
            strcmp(round->notice->except, member->instance) != 0) &&
           !has_confirmed(round, member);
}

static bool is_over(const struct mrd_notice *notice)
{
    return now_ns() >= notice->deadline_ns ||
           (notice->ended != NULL && notice->ended(notice->context));
}

/* Asks everybody who has not confirmed, and counts who has not then. */
static void ask_all(struct round *round, const struct mrd_members_snapshot *snapshot)
{
    round->missing = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct mrd_member *member = &snapshot->members[i];
        if (!must_know(round, member)) {
            continue;
        }
        if (is_over(round->notice)) {
            round->missing++; /* what was said before stands */
            continue;
        }
        char text[TEXT_MAX];
        if (ask(round, member->instance, text)) {
            note_confirmed(round, member);
            continue;
        }
        round->missing++;
        (void)snprintf(round->who, sizeof(round->who), "%s", member->instance);
        memcpy(round->text, text, sizeof(round->text));
    }
}

/* True once everybody who is there has confirmed, and it is known who is there. */
static bool tell_round(struct round *round, struct mrd_members *members)
{
    const struct mrd_members_snapshot *snapshot = mrd_members_acquire(members);
    const bool settled = snapshot->settled;
    ask_all(round, snapshot);
    const bool done = settled && round->missing == 0;
    mrd_members_release(&snapshot);
    return done;
}

enum mrd_status mrd_notice_tell(struct mrd_bus *bus, struct mrd_members *members,
                                const struct mrd_notice *notice, struct mrd_error *err)
{
    mrd_assert(notice->bytes.size <= MRD_NOTICE_SIZE_MAX);
    struct round round = {.bus = bus, .notice = notice};
    bool done = tell_round(&round, members);
    while (!done && !is_over(notice)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = AGAIN_MS * MS}, NULL);
        done = tell_round(&round, members);
    }
    free(round.confirmed);
    if (done) {
        return MRD_OK;
    }
    if (now_ns() < notice->deadline_ns) {
        return mrd_fail(err, MRD_E_CANCELED, "nobody waits any more");
    }
    return round.missing == 0
               ? mrd_fail(err, MRD_E_TIMEOUT, "it is not known yet who is alive")
               : mrd_fail(err, MRD_E_TIMEOUT,
                          "%zu of the members have not confirmed, the last asked %s: %s",
                          round.missing, round.who, round.text);
}
