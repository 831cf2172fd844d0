/*
 * request.c
 *	  Requests that wait, and how many connections there were.
 */
#include "server.h"

ConnectionCounts connection_counts;

/*
 * wake_request, sleep_request
 *		Suspend a request for a while and go on with the stage given.
 */
static void
wake_request(Timer *timer)
{
	MHD_resume_connection(hash_entry(timer, Request, timer)->connection);
}

void
sleep_request(Request *r, int64_t ms, Stage next)
{
	r->stage = next;
	r->asleep = true;
	r->timer.fire = wake_request;
	MHD_suspend_connection(r->connection);
	if (!timer_add(&r->timer, ms * 1000))
		MHD_resume_connection(r->connection);
}

/*
 * connections_describe
 *		Append the members of a JSON object that tell of connections.
 */
void
connections_describe(Buf *b)
{
	buf_printf(b, "\"connections\":{\"opened\":%lld,\"closed\":%lld,\"closed_without_request\":%lld}",
			   (long long) connection_counts.opened, (long long) connection_counts.closed,
			   (long long) connection_counts.silent);
}
