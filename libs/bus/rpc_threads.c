#include <stdlib.h>

#include "base/threads.h"
#include "bus/rpc_server_internal.h"

static void *thread_main(void *context)
{
    struct mrd_rpc_thread *thread = context;
    struct mrd_rpc_server *server = thread->server;
    if (thread->lane == MRD_RPC_LANE_LOW) {
        mrd_thread_background_enter();
    }
    mrd_rpc_worker_run(server, thread->lane);
    pthread_mutex_lock(&server->lock);
    if (thread->state == MRD_RPC_THREAD_RUNS) {
        thread->state = MRD_RPC_THREAD_ENDED;
    }
    server->thread_count--;
    pthread_mutex_unlock(&server->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* One that is free. Who has ended may be in the background still and without a core: nobody waits for it here. NULL: none. */
static struct mrd_rpc_thread *slot_find(struct mrd_rpc_server *server)
{
    for (uint32_t i = 0; i < server->thread_slots; i++) {
        struct mrd_rpc_thread *thread = &server->threads[i];
        if (thread->state == MRD_RPC_THREAD_ENDED && pthread_tryjoin_np(thread->id, NULL) == 0) {
            thread->state = MRD_RPC_THREAD_NONE;
        }
        if (thread->state == MRD_RPC_THREAD_NONE) {
            return thread;
        }
    }
    return NULL;
}

static bool thread_make(struct mrd_rpc_server *server, enum mrd_rpc_lane_kind lane)
{
    struct mrd_rpc_thread *thread = slot_find(server);
    if (thread == NULL) {
        return false;
    }
    thread->server = server;
    thread->lane = lane;
    if (pthread_create(&thread->id, NULL, thread_main, thread) != 0) {
        return false;
    }
    thread->state = MRD_RPC_THREAD_RUNS;
    server->thread_count++;
    return true;
}

bool mrd_rpc_thread_add(struct mrd_rpc_server *server, enum mrd_rpc_lane_kind lane)
{
    if (lane == MRD_RPC_LANE_USUAL && mrd_thread_in_background() && !server->stopping) {
        server->threads_owed++;
        pthread_cond_signal(&server->pulse);
    } else if (!thread_make(server, lane)) {
        return false;
    }
    server->lanes[lane].looking++;
    return true;
}

void mrd_rpc_threads_make_owed(struct mrd_rpc_server *server)
{
    while (server->threads_owed > 0 && thread_make(server, MRD_RPC_LANE_USUAL)) {
        server->threads_owed--;
    }
}

void mrd_rpc_threads_join(struct mrd_rpc_server *server)
{
    for (uint32_t i = 0; i < server->thread_slots; i++) {
        struct mrd_rpc_thread *thread = &server->threads[i];
        if (thread->state == MRD_RPC_THREAD_NONE) {
            continue;
        }
        thread->state = MRD_RPC_THREAD_JOINED;
        pthread_mutex_unlock(&server->lock);
        pthread_join(thread->id, NULL);
        pthread_mutex_lock(&server->lock);
        thread->state = MRD_RPC_THREAD_NONE;
        i = UINT32_MAX; /* from the first again: it may have been used again */
    }
}
