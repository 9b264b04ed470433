/* Replies that the owner's thread writes while the client reads: a ring between that thread and the
 * server thread, which takes the connection out of its event loop while the ring is empty. Where handlers wait both are one
 * thread: the handler's fiber stands still while the ring is full, and goes on when libmicrohttpd has emptied it. */
#include <stdlib.h>
#include <time.h>

#include "http/http_internal.h"

#include "base/threads.h"

enum {
    WRITER_LOOK_MS = 40,   /* how soon a waiting writer notices that nobody reads any more */
    WRITER_TAKE_MIN = 4096 /* room that a waiting writer is woken for */
};

struct mrd_http_writer {
    struct mrd_http_request *request; /* a reference of the writer's own, until it has ended */
    struct mrd_http_server *server;
    struct mrd_fiber *fiber; /* of the handler that writes, where handlers wait; else NULL */
    _Atomic int references;  /* the writing thread's, the response's */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t room;
    uint8_t *ring;
    size_t capacity;
    size_t head; /* of the oldest byte */
    size_t size;
    int64_t taken_ns; /* when the client last took something */
    bool ended;
    bool whole;
    bool closed;    /* the response is gone: nobody will take anything */
    bool suspended; /* the connection waits for bytes, or for the end */
};

static void writer_release(struct mrd_http_writer *writer)
{
    /* Whoever frees must see what the other side did. */
    if (atomic_fetch_sub_explicit(&writer->references, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_destroy(&writer->lock);
        pthread_cond_destroy(&writer->room);
        free(writer->ring);
        free(writer);
    }
}

/* ---- the server thread's side ---- */

static size_t ring_take(struct mrd_http_writer *writer, char *out, size_t size_max)
{
    const size_t size = MRD_MIN(size_max, writer->size);
    const size_t first = MRD_MIN(size, writer->capacity - writer->head);
    memcpy(out, writer->ring + writer->head, first);
    memcpy(out + first, writer->ring, size - first);
    writer->head = (writer->head + size) % writer->capacity;
    writer->size -= size;
    writer->taken_ns = http_now_ns();
    if (writer->capacity - writer->size >= WRITER_TAKE_MIN || writer->size == 0) {
        pthread_cond_signal(&writer->room);
    }
    return size;
}

/* Lets the handler write until the ring is full or the reply has ended. The lock is held, but not meanwhile. */
static void ring_fill(struct mrd_http_writer *writer)
{
    pthread_mutex_unlock(&writer->lock);
    waiting_resume(writer->server, writer->fiber);
    pthread_mutex_lock(&writer->lock);
    mrd_assert(writer->ended || writer->size > 0);
}

/* Tells the sweeper whose turn it is. The request is kept by the server thread until it is completed. */
static void turn_set(struct mrd_http_writer *writer, int64_t client_since_ns)
{
    atomic_store_explicit(&writer->request->client_since_ns, client_since_ns, memory_order_relaxed);
}

static ssize_t writer_pull(void *context, uint64_t position, char *out, size_t size_max)
{
    (void)position;
    struct mrd_http_writer *writer = context;
    ssize_t result = 0;
    pthread_mutex_lock(&writer->lock);
    if (writer->fiber != NULL && writer->size == 0 && !writer->ended) {
        turn_set(writer, 0);
        ring_fill(writer);
    }
    if (writer->ended && !writer->whole) {
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (writer->size > 0) {
        result = (ssize_t)ring_take(writer, out, size_max);
        turn_set(writer, writer->taken_ns);
    } else if (writer->ended) {
        result = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        /* Under the lock, so that nobody resumes before. */
        MHD_suspend_connection(writer->request->connection);
        writer->suspended = true;
    }
    pthread_mutex_unlock(&writer->lock);
    return result;
}

static void writer_closed(void *context)
{
    struct mrd_http_writer *writer = context;
    pthread_mutex_lock(&writer->lock);
    mrd_assert(!writer->suspended);
    writer->closed = true;
    while (writer->fiber != NULL && !writer->ended) { /* it finds that nobody reads, and ends */
        pthread_mutex_unlock(&writer->lock);
        waiting_resume(writer->server, writer->fiber);
        pthread_mutex_lock(&writer->lock);
    }
    pthread_cond_signal(&writer->room);
    pthread_mutex_unlock(&writer->lock);
    writer_release(writer);
}

/* ---- the writing thread's side ---- */

static struct mrd_http_writer *writer_create(struct mrd_http_request *request, size_t queue_bytes)
{
    struct mrd_http_writer *writer = calloc(1, sizeof(*writer));
    mrd_assert(writer != NULL);
    writer->request = request;
    writer->server = request->server;
    writer->fiber = request->fiber;
    mrd_assert((writer->fiber != NULL) == writer->server->config.handlers_wait);
    writer->capacity = MRD_MAX(queue_bytes, (size_t)WRITER_TAKE_MIN);
    writer->ring = malloc(writer->capacity);
    mrd_assert(writer->ring != NULL);
    writer->taken_ns = http_now_ns();
    atomic_init(&writer->references, 2);
    mrd_assert(pthread_mutex_init(&writer->lock, NULL) == 0);
    mrd_cond_init(&writer->room);
    return writer;
}

struct mrd_http_writer *mrd_http_reply_begin(struct mrd_http_request *request, unsigned status,
                                             size_t queue_bytes)
{
    struct mrd_http_writer *writer = writer_create(request, queue_bytes);
    atomic_fetch_add_explicit(&request->references, 1, memory_order_relaxed);
    request->written = true;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, REPLY_BLOCK_SIZE, writer_pull, writer, writer_closed);
    mrd_assert(response != NULL);
    reply_hand_over(request, status, response);
    return writer;
}

/* Puts the connection back into its event loop if it waits. The lock is held; it is given back, since
 * libmicrohttpd is not called under it. */
static void unlock_and_resume(struct mrd_http_writer *writer)
{
    struct mrd_http_server *server = writer->server;
    const bool resume = writer->suspended;
    writer->suspended = false;
    if (resume) { /* stop waits for this before the daemon goes; see reply.c */
        atomic_fetch_add(&server->resumes, 1);
    }
    pthread_mutex_unlock(&writer->lock);
    if (resume) {
        MHD_resume_connection(writer->request->connection);
        atomic_fetch_sub(&server->resumes, 1);
    }
}

/* Waits a moment for room, or until the ring is empty. The lock is held. */
static void room_wait(struct mrd_http_writer *writer)
{
    if (writer->fiber != NULL) {
        pthread_mutex_unlock(&writer->lock);
        mrd_fiber_yield(writer->fiber);
        pthread_mutex_lock(&writer->lock);
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WRITER_LOOK_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(&writer->room, &writer->lock, &until);
}

/* Why nobody will read what is written; MRD_OK if somebody may. The lock is held. */
static enum mrd_status writer_check(struct mrd_http_writer *writer, struct mrd_error *err)
{
    struct mrd_http_request *request = writer->request;
    if (writer->closed || mrd_http_canceled(request) ||
        atomic_load_explicit(&request->server->expiring, memory_order_relaxed)) {
        return mrd_fail(err, MRD_E_CANCELED, "the client has gone before the end of its answer");
    }
    const mrd_time_ms stalled_ms = (http_now_ns() - writer->taken_ns) / 1000000;
    if (writer->size == writer->capacity && stalled_ms > request->server->config.stall_ms_max) {
        atomic_store_explicit(&request->cut, true, memory_order_relaxed);
        return mrd_fail(err, MRD_E_CANCELED, "the client took nothing of its answer for %lld ms",
                        (long long)stalled_ms);
    }
    return MRD_OK;
}

static size_t ring_put(struct mrd_http_writer *writer, struct mrd_bytes bytes)
{
    const size_t size = MRD_MIN(bytes.size, writer->capacity - writer->size);
    const size_t tail = (writer->head + writer->size) % writer->capacity;
    const size_t first = MRD_MIN(size, writer->capacity - tail);
    memcpy(writer->ring + tail, bytes.data, first);
    memcpy(writer->ring, bytes.data + first, size - first);
    writer->size += size;
    return size;
}

enum mrd_status mrd_http_writer_write(struct mrd_http_writer *writer, struct mrd_bytes bytes,
                                      struct mrd_error *err)
{
    while (bytes.size > 0) {
        pthread_mutex_lock(&writer->lock);
        enum mrd_status status = writer_check(writer, err);
        while (status == MRD_OK && writer->size == writer->capacity) {
            room_wait(writer);
            status = writer_check(writer, err);
        }
        if (status != MRD_OK) {
            pthread_mutex_unlock(&writer->lock);
            return status;
        }
        const size_t size = ring_put(writer, bytes);
        bytes.data += size;
        bytes.size -= size;
        unlock_and_resume(writer);
    }
    return MRD_OK;
}

void mrd_http_writer_end(struct mrd_http_writer **writer, bool whole)
{
    struct mrd_http_writer *ended = MRD_MOVE(*writer);
    struct mrd_http_request *request = ended->request;
    pthread_mutex_lock(&ended->lock);
    ended->ended = true;
    ended->whole = whole;
    unlock_and_resume(ended);
    writer_release(ended);
    request_release(request);
}
