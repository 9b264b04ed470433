/* Handlers that wait: on their connection's own thread, which runs libmicrohttpd for no other connection. Each has a stack of
 * its own, because libmicrohttpd asks for a written reply piece by piece, after the call of the handler has come back: a handler
 * that has filled its queue stands still, libmicrohttpd sends, and when it asks for more the handler goes on where it was. So
 * one thread receives, works and sends, and nobody is woken in between. */
#include <stdlib.h>

#include "http/http_internal.h"

enum { FIBER_STACK_BYTES = 8 << 20 /* as a thread has; only what is touched takes memory */ };

static struct mrd_fiber *fiber_take(struct mrd_http_server *server)
{
    struct mrd_fiber *fiber = NULL;
    pthread_mutex_lock(&server->lock);
    if (server->fiber_count > 0) {
        fiber = server->fibers[--server->fiber_count];
    }
    pthread_mutex_unlock(&server->lock);
    return fiber != NULL ? fiber : mrd_fiber_create(FIBER_STACK_BYTES);
}

static void fiber_give(struct mrd_http_server *server, struct mrd_fiber *fiber)
{
    pthread_mutex_lock(&server->lock);
    if (server->fiber_count < HTTP_FIBERS_KEPT) {
        server->fibers[server->fiber_count++] = MRD_MOVE(fiber);
    }
    pthread_mutex_unlock(&server->lock);
    mrd_fiber_destroy(&fiber);
}

static void handler_main(void *context)
{
    struct mrd_http_request *request = context;
    request->route->route.handler(request->route->route.context, request);
}

bool waiting_run(struct mrd_http_request *request)
{
    struct mrd_fiber *fiber = fiber_take(request->server);
    if (fiber == NULL) {
        return false;
    }
    request->fiber = fiber;
    if (mrd_fiber_start(fiber, handler_main, request)) {
        request->fiber = NULL; /* the server thread's reference keeps the request */
        fiber_give(request->server, fiber);
    }
    return true;
}

void waiting_resume(struct mrd_http_server *server, struct mrd_fiber *fiber)
{
    if (mrd_fiber_resume(fiber)) {
        fiber_give(server, fiber);
    }
}

void waiting_fini(struct mrd_http_server *server)
{
    while (server->fiber_count > 0) {
        mrd_fiber_destroy(&server->fibers[--server->fiber_count]);
    }
}
