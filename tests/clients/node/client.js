// Test with Plivo's SDK for Node.js against a running conflow.
'use strict';

const { URL, Bench } = require('./bench.js');

// The SDK has no option for another host. Some requests go through its global axios, most through
// their own instance. All are redirected to the server under test, retries included.
const axios = require('axios');

const VENDOR = 'https://api.plivo.com/';
const aim = (instance) => {
  instance.interceptors.request.use((request) => {
    if (!request.url.startsWith(VENDOR)) throw new Error(`the SDK asks ${request.url}`);
    return { ...request, url: request.url.replace(VENDOR, `${URL}/`) };
  });
  return instance;
};
const create = axios.create;
axios.create = (...config) => aim(create.apply(axios, config));
aim(axios);

new Bench('plivo-node').run(
  ...require('./conferences.js'),
  ...require('./phones.js'),
  ...require('./documents.js'),
);
