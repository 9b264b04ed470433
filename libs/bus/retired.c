#include "bus/retired_internal.h"

#include <stdlib.h>

#include "base/macros.h"

struct mrd_retired_entry {
    natsSubscription *nats;
    struct mrd_retired_entry *next;
};

void mrd_retired_init(struct mrd_retired *retired)
{
    pthread_mutex_init(&retired->lock, NULL);
    retired->first = NULL;
}

void mrd_retired_fini(struct mrd_retired *retired)
{
    mrd_retired_destroy(mrd_retired_take(retired));
    pthread_mutex_destroy(&retired->lock);
}

void mrd_retired_add(struct mrd_retired *retired, natsSubscription *subscription)
{
    struct mrd_retired_entry *entry = calloc(1, sizeof(*entry));
    mrd_assert(entry != NULL);
    entry->nats = subscription;
    mrd_retired_put_back(retired, entry);
}

struct mrd_retired_entry *mrd_retired_take(struct mrd_retired *retired)
{
    pthread_mutex_lock(&retired->lock);
    struct mrd_retired_entry *list = MRD_MOVE(retired->first);
    pthread_mutex_unlock(&retired->lock);
    return list;
}

void mrd_retired_put_back(struct mrd_retired *retired, struct mrd_retired_entry *list)
{
    pthread_mutex_lock(&retired->lock);
    while (list != NULL) {
        struct mrd_retired_entry *next = list->next;
        list->next = retired->first;
        retired->first = list;
        list = next;
    }
    pthread_mutex_unlock(&retired->lock);
}

void mrd_retired_destroy(struct mrd_retired_entry *list)
{
    while (list != NULL) {
        struct mrd_retired_entry *next = list->next;
        natsSubscription_Destroy(list->nats);
        free(list);
        list = next;
    }
}
