// Original file: protos/ext_proc.proto

import type { HttpStatus as _envoy_service_ext_proc_v3_HttpStatus, HttpStatus__Output as _envoy_service_ext_proc_v3_HttpStatus__Output } from '../../../../envoy/service/ext_proc/v3/HttpStatus.ts';
import type { HeaderMutation as _envoy_service_ext_proc_v3_HeaderMutation, HeaderMutation__Output as _envoy_service_ext_proc_v3_HeaderMutation__Output } from '../../../../envoy/service/ext_proc/v3/HeaderMutation.ts';

export interface ImmediateResponse {
  'status'?: (_envoy_service_ext_proc_v3_HttpStatus | null);
  'headers'?: (_envoy_service_ext_proc_v3_HeaderMutation | null);
  'body'?: (Buffer | Uint8Array | string);
  'details'?: (string);
}

export interface ImmediateResponse__Output {
  'status'?: (_envoy_service_ext_proc_v3_HttpStatus__Output);
  'headers'?: (_envoy_service_ext_proc_v3_HeaderMutation__Output);
  'body'?: (Buffer);
  'details'?: (string);
}
