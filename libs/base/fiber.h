/* fiber.h: a function with a stack of its own that can stand still in the middle and let its thread do something else.
 *
 * For work that is written to run through and has to be called piece by piece, by a library that wants the next piece of
 * an answer. Nothing runs at once with anything: starting or resuming a fiber is a call that comes back when the fiber
 * yields or its function returns, and yielding is a call that comes back when it is resumed.
 *
 * Owner:   whoever created it.
 * Threads: from its start to its end one thread; afterwards any one may start it again. What belongs to the thread (its
 *          thread-local variables, its priority) is the fiber's too. No lock may be held where it yields.
 * Memory:  address space of the stack's size, of which pages that were touched are kept, with a page below it that nobody
 *          may touch.
 * Cost:    a switch is a system call (the signal mask) and some ten instructions.
 */
#ifndef MRD_BASE_FIBER_H
#define MRD_BASE_FIBER_H

#include <stdbool.h>
#include <stddef.h>

struct mrd_fiber;

typedef void mrd_fiber_fn(void *context);

/* NULL: the system has no memory for the stack. */
struct mrd_fiber *mrd_fiber_create(size_t stack_bytes);

/* It must have ended, or never begun. *fiber may be NULL. */
void mrd_fiber_destroy(struct mrd_fiber **fiber);

/* Runs `fn` until it yields or returns; true: it has returned. It must have ended, or never begun. */
bool mrd_fiber_start(struct mrd_fiber *fiber, mrd_fiber_fn *fn, void *context);

/* Goes on where it yielded; true: it has returned. */
bool mrd_fiber_resume(struct mrd_fiber *fiber);

/* On the fiber: goes back to whoever started or resumed it. */
void mrd_fiber_yield(struct mrd_fiber *fiber);

#endif
