// What the Node.js workers of the benchmark share: the request, and how they are measured.

import { Pool } from 'undici';

export const IN_FLIGHT = 50;

const http = new Pool(process.env.BENCH_URL, { connections: IN_FLIGHT, pipelining: 1 });
const headers = {
	authorization: `Bearer ${process.env.BENCH_KEY}`,
	'content-type': 'application/json',
	accept: 'application/json',
};

// Sends one job and returns what MyFatoorah calls Data. The amount goes out with its decimals, as a number.
export async function sendPayment(job) {
	const reference = `${job.customer_reference}.0123456789ABCDEFGHJK`;
	const body =
		`{"CustomerName":${JSON.stringify(job.customer_name)},"InvoiceValue":${job.invoice_value},` +
		`"NotificationOption":${JSON.stringify(job.notification_option)},` +
		`"CustomerEmail":${JSON.stringify(job.customer_email)},` +
		`"DisplayCurrencyIso":${JSON.stringify(job.display_currency_iso)},"Language":${JSON.stringify(job.language)},` +
		`"CustomerReference":${JSON.stringify(reference)},` +
		`"UserDefinedField":${JSON.stringify(job.user_defined_field)},` +
		`"CallBackUrl":${JSON.stringify(job.call_back_url)},"ErrorUrl":${JSON.stringify(job.error_url)}}`;
	const response = await http.request({ path: '/v2/SendPayment', method: 'POST', headers, body });
	const answer = await response.body.json();

	if (response.statusCode !== 200 || answer.IsSuccess !== true || answer.Data.CustomerReference !== reference)
		throw new Error(`HTTP ${response.statusCode}: ${JSON.stringify(answer)}`);
	return answer.Data;
}

export function closeHttp() {
	return http.close();
}

// Runs "work", which does "count" jobs, and prints what it took.
export async function measure(count, work) {
	const cpu = process.cpuUsage();
	const begin = process.hrtime.bigint();

	await work();
	const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
	const used = process.cpuUsage(cpu);

	console.log(`seconds ${seconds}`);
	console.log(`rate ${count / seconds}`);
	console.log(`cpu_us ${(used.user + used.system) / count}`);
	console.log(`rss_mb ${process.memoryUsage().rss / 1048576}`);
}
