// Graphile Worker with a task that sends one job and stores its answer.
//
//	node graphile.mjs migrate				makes its schema
//	node graphile.mjs COUNT installed		with the settings it has as installed
//	node graphile.mjs COUNT tuned			as its page on performance advises

import { Logger, run, runMigrations } from 'graphile-worker';
import pg from 'pg';
import { IN_FLIGHT, closeHttp, measure, sendPayment } from './common.mjs';

const logger = new Logger(() => (level, message) => {
	if (level === 'error' || level === 'warning') console.error(message);
});
const settings = {
	installed: {},
	tuned: {
		concurrentJobs: IN_FLIGHT,
		maxPoolSize: IN_FLIGHT + 2,
		localQueue: { size: 500 },
		completeJobBatchDelay: 0,
		failJobBatchDelay: 0,
	},
};
const count = Number(process.argv[2]);
let todo = count;
let allRun;
const ran = new Promise((resolve) => {
	allRun = resolve;
});

async function sendOne(job, helpers) {
	const data = await sendPayment(job);

	await helpers.query(
		{
			name: 'record',
			text: `UPDATE job SET status = 'sent', attempts = attempts + 1, sent_at = clock_timestamp(), invoice_id = $2, invoice_url = $3
				WHERE id = $1`,
			values: [job.id, data.InvoiceId, data.InvoiceURL],
		});
	if (--todo === 0) allRun();
}

// With no connection string both take the environment's.
const connection = { connectionString: `postgres://${process.env.PGUSER}@/${process.env.PGDATABASE}?host=${encodeURIComponent(process.env.PGHOST)}` };

if (process.argv[2] === 'migrate') {
	await runMigrations({ ...connection, logger });
} else {
	const watch = new pg.Client(connection);

	await watch.connect();
	await measure(count, async () => {
		const runner = await run({
			preset: { worker: { ...connection, logger, ...settings[process.argv[3]] } },
			taskList: { send_payment: sendOne },
			noHandleSignals: true,
		});

		await ran;
		// until the last job is taken off its table
		while ((await watch.query('SELECT EXISTS (SELECT FROM graphile_worker._private_jobs) AS left')).rows[0].left)
			await new Promise((resolve) => setTimeout(resolve, 1));
		await runner.stop();
	});
	await watch.end();
}
await closeHttp();
