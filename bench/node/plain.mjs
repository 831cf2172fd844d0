// A worker on plain "pg", as fast as one process can be made with the same promises: each job is claimed in a
// committed transaction before its request leaves, and its answer is committed. Claims and answers go in batches,
// each on a connection of its own, and a sliding window keeps the requests in flight.
//
//	node plain.mjs COUNT

import pg from 'pg';
import { IN_FLIGHT, closeHttp, measure, sendPayment } from './common.mjs';

const BATCH = 200;
const count = Number(process.argv[2]);
const claims = new pg.Client();
const answers = new pg.Client();

await claims.connect();
await answers.connect();

let claimed = [];
let claiming = null;
let exhausted = false;
let inFlight = 0;
let finished = [];
let recording = null;
let recorded = 0;
let done;
const allDone = new Promise((resolve, reject) => {
	done = { resolve, reject };
});

// A batch of jobs, committed as "sending".
async function claim() {
	const result = await claims.query({
		name: 'claim',
		text: `UPDATE job SET status = 'sending', attempts = attempts + 1
			WHERE id = ANY (ARRAY(SELECT id FROM job WHERE status = 'queued' ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
			RETURNING id, customer_name, invoice_value, notification_option, customer_email, display_currency_iso,
				language, customer_reference, user_defined_field, call_back_url, error_url`,
		values: [BATCH],
	});
	if (result.rows.length === 0) exhausted = true;
	claimed.push(...result.rows);
	claiming = null;
	pump();
}

// All answers that have come so far, committed together.
async function record() {
	const batch = finished;

	finished = [];
	await answers.query({
		name: 'record',
		text: `UPDATE job SET status = 'sent', sent_at = clock_timestamp(), invoice_id = a.invoice_id, invoice_url = a.invoice_url
			FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS a(id, invoice_id, invoice_url) WHERE job.id = a.id`,
		values: [batch.map((a) => a.id), batch.map((a) => a.data.InvoiceId), batch.map((a) => a.data.InvoiceURL)],
	});
	recorded += batch.length;
	recording = null;
	if (recorded === count) done.resolve();
	pump();
}

async function send(job) {
	const data = await sendPayment(job);

	inFlight--;
	finished.push({ id: job.id, data });
	pump();
}

// Whatever can be done now.
function pump() {
	while (inFlight < IN_FLIGHT && claimed.length > 0) {
		inFlight++;
		send(claimed.shift()).catch(done.reject);
	}
	if (!claiming && !exhausted && claimed.length < BATCH) claiming = claim().catch(done.reject);
	if (!recording && finished.length > 0) recording = record().catch(done.reject);
}

await measure(count, () => {
	pump();
	return allDone;
});
await claims.end();
await answers.end();
await closeHttp();
