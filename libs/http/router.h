/* router.h: which route a path belongs to. A plain list: a service has a few dozen routes. */
#ifndef MRD_HTTP_ROUTER_H
#define MRD_HTTP_ROUTER_H

#include "base/bytes.h"

enum { MRD_ROUTER_PATTERNS_MAX = 128 };

struct mrd_router {
    struct router_pattern {
        struct mrd_bytes before; /* up to "{" or "*", or all */
        struct mrd_bytes after;  /* behind "}" */
        enum { ROUTER_EXACT, ROUTER_PARAM, ROUTER_PREFIX } kind;
        unsigned methods;
        size_t value; /* the caller's */
    } patterns[MRD_ROUTER_PATTERNS_MAX];
    size_t pattern_count;
};

/* Patterns as in server.h, static storage. An assertion fails for a bad one, for one more than
 * MRD_ROUTER_PATTERNS_MAX, and for one that is there already with one of the methods. */
void mrd_router_add(struct mrd_router *router, const char *pattern, unsigned methods, size_t value);

struct mrd_router_match {
    bool found;       /* a route with the path and the method */
    unsigned methods; /* of all routes with the path; 0: no such path */
    size_t value;
    struct mrd_bytes param; /* as in the path; {param}'s segment or what "*" stands for */
};

/* Cost: one comparison per route. */
struct mrd_router_match mrd_router_find(const struct mrd_router *router, struct mrd_bytes path,
                                        unsigned method);

#endif
